/* Live parts of a page: reloaded every two seconds while visible, less often the longer nothing changes (the server says so with
   204), while the tab is hidden or the server does not answer, and at once when the user returns. The page always shows its
   age. Without this script htmx reloads every two seconds. */
"use strict";

(() => {
  const VISIBLE_MS = 1900, HIDDEN_MS = 10000, SLOWEST_MS = 15000, SLEPT_MS = 4000, SILENT_MS = 6000, GROWTH = 1.3;
  let answeredAt = Date.now(), askedAt = answeredAt, tickedAt = answeredAt;
  let asking = false, failures = 0, quiet = 0, wasLost = false, wasLive = false, version;

  const live = () => document.getElementById("live");
  const polled = () => { const part = live(); return part && part.hasAttribute("hx-get") ? part : null; };

  function pause() {
    if (failures) return Math.min(1000 * 2 ** failures, SLOWEST_MS);
    return Math.max(document.hidden ? HIDDEN_MS : 0, Math.min(VISIBLE_MS * GROWTH ** quiet, SLOWEST_MS));
  }

  function ask() {
    const part = polled();
    if (!part || asking) return;
    htmx.ajax("GET", part.getAttribute("hx-get"), { source: part, target: part, swap: "outerHTML" });
  }

  /* The user is back: abort a hanging request and reload. */
  function resume() {
    if (document.hidden || !polled()) return;
    if (asking && Date.now() - askedAt > 2000) htmx.trigger(polled(), "htmx:abort");
    failures = quiet = 0;
    askedAt = 0;
    ask();
  }

  function show() {
    const note = document.getElementById("freshness");
    if (!note) return;
    note.hidden = !polled();
    const age = Date.now() - answeredAt;
    const lost = failures > 0 || (asking && Date.now() - askedAt > SILENT_MS && !document.hidden);
    const since = note.querySelector("[data-lost] time");
    since.dateTime = new Date(answeredAt).toISOString();
    since.textContent = `${since.dateTime.slice(11, 16)} UTC`;
    note.querySelector("[data-lost]").hidden = !lost;
    note.querySelector("[data-age]").hidden = lost;
    note.querySelector("[data-age]").textContent = `Last update ${Math.round(age / 1000)} s ago`;
    if (lost !== wasLost) say(lost ? note.querySelector("[data-lost]").textContent : "Refreshed");
    wasLost = lost;
  }

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt !== live()) return;
    if (asking || Date.now() - askedAt < pause()) { event.preventDefault(); return; }
    asking = true;
    askedAt = Date.now();
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.requestConfig.elt.id !== "live") return;  // the element itself may have been replaced by now
    asking = false;
    failures = event.detail.successful ? 0 : failures + 1;
    if (event.detail.xhr.status === 204) quiet += 1;
    if (event.detail.successful) answeredAt = Date.now();
    show();
  });

  /* A tab in the background notifies when its work has ended, if the person allowed that on the account page. */
  function notify() {
    if (!document.hidden || !choice("notify") || window.Notification?.permission !== "granted") return;
    try {
      const note = new Notification(document.title, { tag: location.pathname });
      note.onclick = () => { window.focus(); note.close(); };
    } catch { /* some phones allow notifications only to a service worker; there the title and the icon show it */ }
  }

  document.addEventListener("htmx:beforeSwap", () => { wasLive = Boolean(polled()); });

  document.addEventListener("htmx:afterSettle", () => {
    const part = live();
    if (part && part.dataset.icon) document.querySelector('link[rel="icon"]').href = part.dataset.icon;
    if (wasLive && !polled()) notify();
    wasLive = false;
    quiet = part && version && part.dataset.version === version ? quiet + 1 : 0;
    version = part && part.dataset.version;
  });

  document.addEventListener("visibilitychange", resume);
  window.addEventListener("online", resume);
  window.addEventListener("pageshow", (event) => { if (event.persisted) resume(); });

  setInterval(() => {
    const slept = Date.now() - tickedAt > SLEPT_MS;
    tickedAt = Date.now();
    if (slept) resume();
    else if (tickedAt - askedAt >= pause()) ask();
    show();
  }, 1000);
})();
