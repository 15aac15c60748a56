/* Verify a file: compare it in the browser with the bundles on the server; upload it, resumably, only on request. Import a
   file: upload it at once. Without this script the form uploads it. Names from files and from the server are written as
   text, invisible characters marked. */
"use strict";

(() => {
  const form = document.querySelector("form[data-upload]");
  const input = form.querySelector("[type=file]");
  const send = document.getElementById("send");
  const again = document.getElementById("again");
  const place = document.getElementById("verdict-here");
  const work = document.getElementById("work");
  const ended = document.getElementById("work-ended");
  const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
  const mayUpload = "mayUpload" in form.dataset;
  const UPLOADING = form.dataset.words ?? "Uploading the file for verification.";
  const MAX_TRIES = 8;
  const STOPPED = "Stopped. There is no verdict on the file.";
  let stop = null; // ends the running operation; null when there is none

  const visible = (text) => String(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu,
    (sign) => `\u27e8U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);
  const formatCount = (count) => count.toLocaleString("en");

  function amount(count) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    for (; count >= 1024 && unit < units.length - 1; unit += 1) count /= 1024;
    return `${unit && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
  }

  function startWork(words) {
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
    const values = { file: file.name, size: `${amount(file.size)}, ${formatCount(file.size)} bytes`, ...facts };
    for (const slot of part.querySelectorAll("[data-fill]")) slot.textContent = visible(values[slot.dataset.fill] ?? "");
    for (const link of part.querySelectorAll("[data-link]")) link.href = values[link.dataset.link];
    const actions = part.querySelector("[data-upload]");
    if (actions && upload && mayUpload && file.size) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Upload this file and verify its signature";
      button.addEventListener("click", () => startUpload(file));
      actions.append(button);
    }
    const panel = part.firstElementChild;
    place.append(part);
    if (panel.classList.contains("verdict")) {
      panel.focus();
      say(panel.querySelector(".word").textContent.trim());
    }
  }

  function decodeBase64(text) {
    return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  }

  function differingRanges(mine, theirs) {
    const found = [];
    for (let at = 0; at < mine.length; at += 32) {
      let same = true;
      for (let byte = at; byte < at + 32; byte += 1) same = same && mine[byte] === theirs[byte];
      if (!same) found.push(at / 32);
    }
    return found;
  }

  async function fetchCandidates(file, root = "") {
    const query = new URLSearchParams({ size: file.size, root });
    const answer = await fetch(`${form.dataset.held}?${query}`, { headers: { Accept: "application/json" } });
    if (!answer.ok || answer.redirected) throw new Error(answer.redirected ? "you are signed out" : `the server answered ${answer.status}`);
    return answer.json();
  }

  function hashRanges(file, rangeBytes, progress) {
    return new Promise((resolve, reject) => {
      const worker = new Worker(form.dataset.worker);
      stop = () => { worker.terminate(); reject(null); };
      worker.onerror = () => reject(new Error("the worker could not be started"));
      worker.onmessage = ({ data }) => {
        if (data.fault) reject(new Error(data.fault));
        else if (data.digests) { worker.terminate(); resolve(data); } else progress.step(data.done, file.size);
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
    const progress = startWork("Comparing the file in this browser, without uploading it.");
    stop = () => progress.finish(STOPPED);
    try {
      await findVerdict(file, progress);
    } catch (error) {
      progress.finish(error ? `The file could not be compared: ${visible(error.message)}. There is no verdict on it.`
        : STOPPED);
      if (!error) input.focus();
    }
  }

  async function findVerdict(file, progress) {
    const known = file.size ? await fetchCandidates(file) : { bundles: [], without: [] };
    if (!progress.running()) return;
    if (!known.bundles.length) {
      progress.finish();
      const [waiting] = known.without;
      if (waiting) show("verdict-unready", file, { ...waiting });
      else show("verdict-unknown", file, { reason: file.size ? "no bundle here has this size." : "it is empty." });
      return;
    }
    const { digests, root } = await hashRanges(file, known.range_bytes, progress);
    const rated = known.bundles.map((one) => ({ one, bad: differingRanges(digests, decodeBase64(one.digests)) }));
    let nearest = rated.reduce((best, next) => (next.bad.length < best.bad.length ? next : best));
    if (nearest.bad.length && known.more) {
      const [exactMatch] = (await fetchCandidates(file, [...root].map((byte) => byte.toString(16).padStart(2, "0")).join(""))).bundles;
      if (exactMatch) nearest = { one: exactMatch, bad: [] };
    }
    progress.finish();
    showVerdict(file, nearest, known.range_bytes, digests.length / 32);
  }

  function showVerdict(file, { one, bad }, rangeBytes, count) {
    const grouped = one.sha256.replace(/.{8}(?=.)/g, "$& ");
    const facts = { ...one, sha256: grouped, yourself: `${one.address}#yourself` };
    if (!bad.length) {
      facts.pieces = `all ${formatCount(count)} ${count === 1 ? "range is" : "ranges are"} equal.`;
      show("verdict-match", file, facts);
    } else {
      const spans = bad.slice(0, 5).map((at) => `bytes ${formatCount(at * rangeBytes)} to ${formatCount(Math.min((at + 1) * rangeBytes, file.size) - 1)}`);
      const rest = bad.length > 5 ? ` and ${formatCount(bad.length - 5)} more` : "";
      facts.damage = `${formatCount(bad.length)} of ${formatCount(count)} ranges: ${spans.join("; ")}${rest}. Each has at least one different byte.`;
      show("verdict-differs", file, facts);
    }
    if (one.missing.length) show("notice-partial", file, { missing: one.missing.join("; ") });
  }

  /* Upload: in pieces, at the offset that the server names; an interrupted upload resumes there, even after a reload. */
  const storageKey = (file) => `upload ${"words" in form.dataset ? "import " : ""}${file.name} ${file.size} ${file.lastModified}`;

  function remember(file, ticket) {
    try {
      if (ticket) localStorage.setItem(storageKey(file), ticket); else localStorage.removeItem(storageKey(file));
    } catch { /* without storage an upload can resume only within this page */ }
  }

  function remembered(file) {
    try { return localStorage.getItem(storageKey(file)); } catch { return null; }
  }

  async function ask(address, options, signal) {
    const headers = { "X-CSRFToken": token, Accept: "application/json", ...options.headers };
    const answer = await fetch(address, { ...options, headers, signal });
    if (answer.redirected) throw Object.assign(new Error("you are signed out. Sign in and choose the file again: the upload continues where it stopped"), { final: true });
    if (answer.ok) return answer.json();
    if (answer.status === 409) {
      const conflict = await answer.json();
      if (conflict.offset !== options.headers["Upload-Offset"]) return conflict;
      throw new Error(conflict.detail);
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const message = page.querySelector("main .notice dd");
    const error = new Error(message ? message.textContent.trim() : `the server answered ${answer.status}`);
    throw Object.assign(error, { final: answer.status < 500 || answer.status === 507, status: answer.status });
  }

  async function withRetries(work, progress, signal) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await work();
      } catch (error) {
        if (signal.aborted || error.final || tries === MAX_TRIES) throw error;
        document.getElementById("work-words").textContent = "The connection was lost. Retrying; nothing is lost.";
        await new Promise((wake) => { setTimeout(wake, Math.min(30000, 500 * 2 ** tries)); });
        if (signal.aborted || !progress.running()) throw error;
      }
    }
  }

  async function startUpload(file) {
    if (stop) return;
    const progress = startWork(UPLOADING);
    const aborter = new AbortController();
    stop = () => aborter.abort();
    try {
      location.assign(await upload(file, progress, aborter.signal));
    } catch (error) {
      progress.finish(aborter.signal.aborted ? "Upload stopped. Choose the file again to continue."
        : `The upload failed: ${visible(error.message)}`);
      input.focus();
    }
  }

  async function upload(file, progress, signal) {
    const address = form.dataset.upload;
    const piece = Number(form.dataset.piece);
    const withTicket = (more) => ({ ...more, headers: { "Upload-Ticket": ticket, ...more.headers } });
    let ticket = remembered(file);
    let at = 0;
    try {
      if (ticket) ({ offset: at } = await withRetries(() => ask(address, withTicket({ headers: {} }), signal), progress, signal));
    } catch (error) {
      if (error.status !== 404) throw error;
      ticket = null;
    }
    if (!ticket) {
      const about = new URLSearchParams({ name: file.name, size: file.size });
      ({ ticket } = await withRetries(() => ask(form.dataset.begin, { method: "POST", body: about, headers: {} }, signal), progress, signal));
      remember(file, ticket);
    }
    progress.step(at, file.size);
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      at = await pieces(at);
      const done = await withRetries(() => ask(address, withTicket({ method: "POST", headers: {} }), signal), progress, signal);
      if (done.address) {
        remember(file, null);
        return done.address;
      }
      at = done.offset;
    }
    throw new Error("the server does not accept the end of the file");

    async function pieces(from) {
      let here = from;
      while (here < file.size) {
        here = await onePiece(here);
        document.getElementById("work-words").textContent = UPLOADING;
        progress.step(here, file.size);
      }
      return here;
    }

    async function onePiece(here) {
      const options = withTicket({ method: "PUT", headers: { "Upload-Offset": here, "Content-Type": "application/octet-stream" } });
      const body = file.slice(here, here + piece);
      return (await withRetries(() => ask(address, { ...options, body }, signal), progress, signal)).offset;
    }
  }

  function chosen() {
    if (!input.files.length) return;
    if (form.dataset.held) compare(input.files[0]); else startUpload(input.files[0]);
  }

  input.addEventListener("change", chosen);
  again.addEventListener("click", chosen); // choosing the same file again fires no change event
  document.getElementById("cancel").addEventListener("click", () => { if (stop) stop(); });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (mayUpload && input.files.length) startUpload(input.files[0]);
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
    chosen();
  });
})();
