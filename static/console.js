/* Copies digests, keeps open and scrolled parts across live updates, and handles the search key. Optional on every page. */
"use strict";

document.documentElement.classList.add("js");

document.addEventListener("click", (event) => {
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

document.addEventListener("click", (event) => { if (event.target.closest("[data-print]")) window.print(); });

function say(text) {
  const region = document.getElementById("announce");
  if (region && text && region.textContent !== text) region.textContent = text;
}

/* A live update replaces elements: keep details open and scroll positions. */
let kept = null;

document.addEventListener("htmx:beforeSwap", () => {
  kept = {
    open: [...document.querySelectorAll("details[id]")].map((part) => [part.id, part.open]),
    scrolled: [...document.querySelectorAll("[data-scroll][id]")].map((part) => [
      part.id, part.scrollTop, part.scrollHeight - part.scrollTop - part.clientHeight < 8,
    ]),
  };
});

document.addEventListener("htmx:afterSwap", () => {
  for (const [id, open] of kept ? kept.open : []) {
    const part = document.getElementById(id);
    if (part) part.open = open;
  }
  for (const [id, top, atEnd] of kept ? kept.scrolled : []) {
    const part = document.getElementById(id);
    if (part) part.scrollTop = atEnd ? part.scrollHeight : top;
  }
  const live = document.querySelector("[data-announce]");
  if (live) say(live.dataset.announce);
});

/* "/" goes to the search, unless the user is typing or has turned it off on the help page. */
const SLASH_OFF = "slash-off";

function slashIsOff() {
  try { return localStorage.getItem(SLASH_OFF) === "1"; } catch { return false; }
}

document.addEventListener("keydown", (event) => {
  const search = document.getElementById("q");
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing || !search || slashIsOff()) return;
  event.preventDefault();
  search.focus();
  search.select();
});

const slash = document.getElementById("slash");
if (slash) {
  slash.checked = !slashIsOff();
  slash.addEventListener("change", () => {
    try { localStorage.setItem(SLASH_OFF, slash.checked ? "0" : "1"); } catch { slash.checked = true; }
  });
}
