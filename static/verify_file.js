/* Verify a file: compare it here with what the server holds; upload it, resumably, only when asked. Without this file
   the form uploads it. All that a file or the server names is written as text, with its invisible characters marked. */
"use strict";

(() => {
  const form = document.getElementById("verify-file");
  const input = document.getElementById("bundle_file");
  const send = document.getElementById("send");
  const again = document.getElementById("again");
  const place = document.getElementById("verdict-here");
  const work = document.getElementById("work");
  const ended = document.getElementById("work-ended");
  const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
  const mayUpload = "mayUpload" in form.dataset;
  const MOST_TRIES = 8;
  const STOPPED = "Stopped. Nothing was decided about the file.";
  let stop = null; // ends what is under way; null when nothing is

  const plain = (text) => String(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu,
    (sign) => `\u27e8U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);
  const exact = (count) => count.toLocaleString("en");

  function amount(count) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    for (; count >= 1024 && unit < units.length - 1; unit += 1) count /= 1024;
    return `${unit && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
  }

  function begin(words) {
    let running = true;
    place.replaceChildren();
    ended.hidden = true;
    work.hidden = false;
    input.disabled = true;
    if (send) send.disabled = true;
    again.hidden = true;
    document.getElementById("work-words").textContent = words;
    say(words);
    const began = performance.now();
    let first = null;
    step(0, 0);
    document.getElementById("cancel").focus();
    return { step, finish, running: () => running };

    function step(done, total) {
      if (!running) return;
      if (first === null && total) first = done;
      const bar = document.getElementById("work-bar");
      bar.value = Math.max(bar.value * (done > 0), total ? done / total : 0);
      const seconds = (performance.now() - began) / 1000;
      const rate = total && seconds > 1 ? `, ${amount((done - first) / seconds)}/s` : "";
      document.getElementById("work-amount").textContent = total ? `${amount(done)} of ${amount(total)}${rate}` : "";
    }

    function finish(words = "") {
      if (!running) return;
      running = false;
      stop = null;
      work.hidden = true;
      input.disabled = false;
      if (send) send.disabled = false;
      again.hidden = !input.files.length;
      ended.textContent = words;
      ended.hidden = !words;
      if (words) say(words);
    }
  }

  function show(name, file, facts, upload = true) {
    const part = document.getElementById(name).content.cloneNode(true);
    const given = { file: file.name, size: `${amount(file.size)}, ${exact(file.size)} bytes`, ...facts };
    for (const slot of part.querySelectorAll("[data-fill]")) slot.textContent = plain(given[slot.dataset.fill] ?? "");
    for (const link of part.querySelectorAll("[data-link]")) link.href = given[link.dataset.link];
    const actions = part.querySelector("[data-upload]");
    if (actions && upload && mayUpload && file.size) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Upload this file and verify its signature";
      button.addEventListener("click", () => sendAway(file));
      actions.append(button);
    }
    const panel = part.firstElementChild;
    place.append(part);
    if (panel.classList.contains("verdict")) {
      panel.focus();
      say(panel.querySelector(".word").textContent.trim());
    }
  }

  function decoded(text) {
    return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  }

  function differing(mine, theirs) {
    const found = [];
    for (let at = 0; at < mine.length; at += 32) {
      let same = true;
      for (let byte = at; byte < at + 32; byte += 1) same = same && mine[byte] === theirs[byte];
      if (!same) found.push(at / 32);
    }
    return found;
  }

  async function held(file, root = "") {
    const query = new URLSearchParams({ size: file.size, root });
    const answer = await fetch(`${form.dataset.held}?${query}`, { headers: { Accept: "application/json" } });
    if (!answer.ok || answer.redirected) throw new Error(answer.redirected ? "you are signed out" : `the server answered ${answer.status}`);
    return answer.json();
  }

  function hashed(file, rangeBytes, course) {
    return new Promise((resolve, reject) => {
      const worker = new Worker(form.dataset.worker);
      stop = () => { worker.terminate(); reject(null); };
      worker.onerror = () => reject(new Error("the worker could not be started"));
      worker.onmessage = ({ data }) => {
        if (data.fault) reject(new Error(data.fault));
        else if (data.digests) { worker.terminate(); resolve(data); } else course.step(data.done, file.size);
      };
      worker.postMessage({ file, rangeBytes });
    });
  }

  async function compare(file) {
    if (stop) return;
    if (!window.isSecureContext || !window.crypto || !crypto.subtle || !window.Worker) {
      place.replaceChildren();
      show("verdict-unable", file, {});
      return;
    }
    const course = begin("Comparing the file in this browser. It is not uploaded.");
    stop = () => course.finish(STOPPED);
    try {
      await judge(file, course);
    } catch (error) {
      course.finish(error ? `The file could not be compared: ${plain(error.message)}. Nothing was decided about it.`
        : STOPPED);
      if (!error) input.focus();
    }
  }

  async function judge(file, course) {
    const known = file.size ? await held(file) : { bundles: [], without: [] };
    if (!course.running()) return;
    if (!known.bundles.length) {
      course.finish();
      const [waiting] = known.without;
      if (waiting) show("verdict-unready", file, { ...waiting });
      else show("verdict-unknown", file, { reason: file.size ? "no bundle here has this length." : "it is empty." });
      return;
    }
    const { digests, root } = await hashed(file, known.range_bytes, course);
    const rated = known.bundles.map((one) => ({ one, bad: differing(digests, decoded(one.digests)) }));
    let nearest = rated.reduce((best, next) => (next.bad.length < best.bad.length ? next : best));
    if (nearest.bad.length && known.more) {
      const [exactOne] = (await held(file, [...root].map((byte) => byte.toString(16).padStart(2, "0")).join(""))).bundles;
      if (exactOne) nearest = { one: exactOne, bad: [] };
    }
    course.finish();
    tell(file, nearest, known.range_bytes, digests.length / 32);
  }

  function tell(file, { one, bad }, rangeBytes, count) {
    const grouped = one.sha256.replace(/.{8}(?=.)/g, "$& ");
    const facts = { ...one, sha256: grouped, yourself: `${one.address}#yourself` };
    if (!bad.length) {
      facts.pieces = `all ${exact(count)} ${count === 1 ? "range of it is" : "ranges of it are"} equal.`;
      show("verdict-match", file, facts);
    } else {
      const spans = bad.slice(0, 5).map((at) => `bytes ${exact(at * rangeBytes)} to ${exact(Math.min((at + 1) * rangeBytes, file.size) - 1)}`);
      const rest = bad.length > 5 ? ` and ${exact(bad.length - 5)} more` : "";
      facts.damage = `${exact(bad.length)} of ${exact(count)} ranges: ${spans.join("; ")}${rest}. At least one byte in each is another.`;
      show("verdict-differs", file, facts);
    }
    if (one.missing.length) show("notice-partial", file, { missing: one.missing.join("; ") });
  }

  /* Upload: pieces at the offset that the server names; what breaks off goes on there, also after a reload. */
  const noted = (file) => `upload ${file.name} ${file.size} ${file.lastModified}`;

  function remember(file, ticket) {
    try {
      if (ticket) localStorage.setItem(noted(file), ticket); else localStorage.removeItem(noted(file));
    } catch { /* without storage an upload goes on only within this page */ }
  }

  function remembered(file) {
    try { return localStorage.getItem(noted(file)); } catch { return null; }
  }

  async function ask(address, options, signal) {
    const headers = { "X-CSRFToken": token, Accept: "application/json", ...options.headers };
    const answer = await fetch(address, { ...options, headers, signal });
    if (answer.redirected) throw Object.assign(new Error("you are signed out. Sign in and choose the file again: the upload goes on where it stopped"), { final: true });
    if (answer.ok) return answer.json();
    if (answer.status === 409) {
      const told = await answer.json();
      if (told.offset !== options.headers["Upload-Offset"]) return told;
      throw new Error(told.detail);
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const told = page.querySelector("main .notice dd");
    const error = new Error(told ? told.textContent.trim() : `the server answered ${answer.status}`);
    throw Object.assign(error, { final: answer.status < 500 || answer.status === 507, status: answer.status });
  }

  async function patiently(work, course, signal) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await work();
      } catch (error) {
        if (signal.aborted || error.final || tries === MOST_TRIES) throw error;
        document.getElementById("work-words").textContent = "The connection broke. Trying again; nothing is lost.";
        await new Promise((wake) => { setTimeout(wake, Math.min(30000, 500 * 2 ** tries)); });
        if (signal.aborted || !course.running()) throw error;
      }
    }
  }

  async function sendAway(file) {
    if (stop) return;
    const course = begin("Uploading the file to be verified here.");
    const aborter = new AbortController();
    stop = () => aborter.abort();
    try {
      location.assign(await upload(file, course, aborter.signal));
    } catch (error) {
      course.finish(aborter.signal.aborted ? "Upload stopped. Choose the file again to go on where it stopped."
        : `The upload ended: ${plain(error.message)}`);
      input.focus();
    }
  }

  async function upload(file, course, signal) {
    const address = form.dataset.upload;
    const piece = Number(form.dataset.piece);
    const withTicket = (more) => ({ ...more, headers: { "Upload-Ticket": ticket, ...more.headers } });
    let ticket = remembered(file);
    let at = 0;
    try {
      if (ticket) ({ offset: at } = await patiently(() => ask(address, withTicket({ headers: {} }), signal), course, signal));
    } catch (error) {
      if (error.status !== 404) throw error;
      ticket = null;
    }
    if (!ticket) {
      const about = new URLSearchParams({ name: file.name, size: file.size });
      ({ ticket } = await patiently(() => ask(form.dataset.begin, { method: "POST", body: about, headers: {} }, signal), course, signal));
      remember(file, ticket);
    }
    course.step(at, file.size);
    for (let tries = 0; tries < MOST_TRIES; tries += 1) {
      at = await pieces(at);
      const done = await patiently(() => ask(address, withTicket({ method: "POST", headers: {} }), signal), course, signal);
      if (done.address) {
        remember(file, null);
        return done.address;
      }
      at = done.offset;
    }
    throw new Error("the server does not take the end of the file");

    async function pieces(from) {
      let here = from;
      while (here < file.size) {
        here = await onePiece(here);
        document.getElementById("work-words").textContent = "Uploading the file to be verified here.";
        course.step(here, file.size);
      }
      return here;
    }

    async function onePiece(here) {
      const options = withTicket({ method: "PUT", headers: { "Upload-Offset": here, "Content-Type": "application/octet-stream" } });
      const body = file.slice(here, here + piece);
      return (await patiently(() => ask(address, { ...options, body }, signal), course, signal)).offset;
    }
  }

  function chosen() {
    if (input.files.length) compare(input.files[0]);
  }

  input.addEventListener("change", chosen);
  again.addEventListener("click", chosen); // choosing the same file once more is no change to a browser
  document.getElementById("cancel").addEventListener("click", () => { if (stop) stop(); });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (mayUpload && input.files.length) sendAway(input.files[0]);
  });

  const drop = document.getElementById("drop");
  for (const name of ["dragover", "dragenter"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (stop || !event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    compare(input.files[0]);
  });
})();
