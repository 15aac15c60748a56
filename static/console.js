/* For every page, and needed by none: copy and print, keyboard shortcuts, and keeping a reader's place over live updates. */
"use strict";

document.documentElement.classList.add("js");

/* Choices of a person that this browser keeps. */
function choice(name) {
  try { return localStorage.getItem(name) === "1"; } catch { return false; }
}

function choose(name, on) {
  try { localStorage.setItem(name, on ? "1" : "0"); } catch { /* without storage the default stays in force */ }
}

function say(text) {
  const region = document.getElementById("announce");
  if (region && text && region.textContent !== text) region.textContent = text;
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-print]")) window.print();
  const button = event.target.closest("[data-copy]");
  if (!button || !navigator.clipboard) return;
  const label = button.querySelector("span");
  const before = label.textContent;
  navigator.clipboard.writeText(button.dataset.copy).then(() => {
    label.textContent = "Copied";
    say("Copied");
    setTimeout(() => { label.textContent = before; }, 2000);
  });
});

/* A live update replaces elements. The focus, open parts, scroll positions and what was typed go to the new elements.
   An element is found again by its id; without one, by its tag, its form's hidden fields, and its address, name or words. */
(() => {
  const main = document.getElementById("content");
  const SCROLLS = "[data-scroll], .scroll, pre";
  let kept = null;

  function likeness(part) {
    if (part.id) return `#${part.id}`;
    const hidden = part.form ? [...part.form.querySelectorAll("input[type=hidden]:not([name=csrfmiddlewaretoken])")] : [];
    const isOneOfSome = ["checkbox", "radio", "submit"].includes(part.type);
    const what = part.getAttribute("href") || (part.name && part.name + (isOneOfSome ? part.value : ""))
      || part.getAttribute("aria-label") || (part.localName === "details" ? part.firstElementChild : part).textContent.trim();
    return [part.localName, ...hidden.map((field) => field.name + field.value), what].join("\n");
  }

  const likeThis = (tag, sign) => [...main.querySelectorAll(tag)].filter((part) => likeness(part) === sign);

  function place(part) {
    const sign = likeness(part);
    return { tag: part.localName, sign, at: likeThis(part.localName, sign).indexOf(part) };
  }

  const find = ({ tag, sign, at }) => likeThis(tag, sign)[at];
  const each = (selector, read) => [...main.querySelectorAll(selector)].map((part) => ({ ...place(part), ...read(part) }));
  const written = () => [...main.querySelectorAll("input:not([type=hidden], [type=file]), textarea")]
    .filter((part) => part.value !== part.defaultValue || part.checked !== part.defaultChecked)
    .map((part) => ({ ...place(part), value: part.value, checked: part.checked }));

  document.addEventListener("htmx:beforeSwap", () => {
    const focused = document.activeElement;
    kept = {
      focus: focused && focused !== main && main.contains(focused)
        ? { ...place(focused), visibly: focused.matches(":focus-visible") } : null,
      open: each("details", (part) => ({ open: part.open })),
      scrolled: each(SCROLLS, (part) => ({
        top: part.scrollTop, left: part.scrollLeft,
        atEnd: "scroll" in part.dataset && part.scrollHeight - part.scrollTop - part.clientHeight < 8,
      })),
      written: written(),
    };
  });

  document.addEventListener("htmx:afterSwap", () => {
    if (!kept) return;
    for (const one of kept.open) {
      const part = find(one);
      if (part) part.open = one.open;
    }
    for (const one of kept.scrolled) {
      const part = find(one);
      if (part) part.scrollTo({ top: one.atEnd ? part.scrollHeight : one.top, left: one.left, behavior: "instant" });
    }
    for (const one of kept.written) {
      const part = find(one);
      if (part && part.value !== one.value) part.value = one.value;
      if (part && part.checked !== one.checked) part.checked = one.checked;
    }
    const live = main.querySelector("[data-announce]");
    if (live) say(live.dataset.announce);
  });

  document.addEventListener("htmx:afterSettle", () => {
    const nowhere = !document.activeElement || document.activeElement === document.body;
    if (!kept || !kept.focus || !nowhere) return;
    const part = find(kept.focus);
    if (part) part.focus({ preventScroll: true, focusVisible: kept.focus.visibly });
    if (document.activeElement !== part) main.focus({ preventScroll: true });
  });
})();

/* Keyboard shortcuts: single keys, never while typing, all off by one choice on the account page. The help page lists them. */
(() => {
  const OFF = "keys-off", GO_MS = 1500;
  const main = document.getElementById("content");
  const search = document.getElementById("q");
  const help = document.querySelector('.rail [data-key="?"]');
  if (!main || !help) return;
  let goBy = 0; // a letter until then goes to a page

  function isTyping(target) {
    return target.closest("select, textarea, [contenteditable], input:not([type=checkbox]):not([type=radio])");
  }

  const linkOf = (row) => row.querySelector("[data-open]") || row.querySelector("a[href]");
  const rows = () => [...main.querySelectorAll("tbody tr, .attention > li")].filter((row) => {
    const link = linkOf(row);
    return link && link.checkVisibility();
  });
  const rowHere = () => document.activeElement.closest("tbody tr, .attention > li");

  function move(by) {
    const all = rows();
    const here = all.indexOf(rowHere());
    const next = all[here < 0 ? 0 : here + by];
    if (!next) return;
    linkOf(next).focus({ focusVisible: true });
    const mark = next.querySelector("input[type=checkbox]");
    if (mark) mark.setAttribute("aria-keyshortcuts", "x");
  }

  function mark() {
    const row = rowHere();
    const box = row && row.querySelector("input[type=checkbox]");
    if (!box) return;
    box.click();
    say(box.checked ? "Marked" : "Mark removed");
  }

  /* The list of keys comes from the help page, which has the only copy. */
  async function showKeys() {
    const address = `${help.href}#keyboard`;
    if (location.pathname === help.pathname) {
      location.hash = "keyboard";
      return;
    }
    try {
      const answer = await fetch(help.href);
      if (!answer.ok || answer.redirected) throw new Error("no help page");
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const dialog = document.createElement("dialog");
      const form = document.createElement("form");
      const close = document.createElement("button");
      const title = page.getElementById("keyboard");
      title.id = "keys-title";
      dialog.setAttribute("aria-labelledby", title.id);
      form.method = "dialog";
      close.textContent = "Close";
      close.autofocus = true;
      form.append(close);
      dialog.append(title, page.getElementById("keys"), form);
      dialog.addEventListener("close", () => dialog.remove());
      document.body.append(dialog);
      dialog.showModal();
    } catch {
      location.assign(address);
    }
  }

  const ACTS = { "/": () => { search.focus(); search.select(); }, "?": showKeys, j: () => move(1), k: () => move(-1), x: mark };

  function followKey(key) {
    const link = /^[a-z]$/.test(key) && document.querySelector(`.rail [data-key="${key}"]`);
    if (link) link.click();
    return Boolean(link);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    if (choice(OFF) || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const isGoing = Date.now() < goBy;
    goBy = 0;
    if (isGoing && followKey(event.key)) event.preventDefault();
    else if (event.key === "g") goBy = Date.now() + GO_MS;
    else if (Object.hasOwn(ACTS, event.key)) { event.preventDefault(); ACTS[event.key](); }
  });

  if (!choice(OFF)) {
    search.setAttribute("aria-keyshortcuts", "/");
    help.setAttribute("aria-keyshortcuts", "?");
  }
})();

/* The account page: what this browser keeps. */
(() => {
  const keys = document.getElementById("use-keys");
  const notify = document.getElementById("notify");
  if (keys) {
    keys.checked = !choice("keys-off");
    keys.addEventListener("change", () => {
      choose("keys-off", !keys.checked);
      keys.checked = !choice("keys-off");
    });
  }
  if (!notify) return;
  const refused = document.getElementById("notify-refused");
  notify.checked = choice("notify") && window.Notification?.permission === "granted";
  notify.addEventListener("change", async () => {
    const answer = notify.checked && window.Notification ? await Notification.requestPermission() : "";
    refused.hidden = !notify.checked || answer === "granted";
    notify.checked = answer === "granted";
    choose("notify", notify.checked);
  });
})();
