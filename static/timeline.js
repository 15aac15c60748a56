/* The drawing of an incident: zoom by dragging or by keys, and a record opened beside the list. Without this script the
   form zooms, and a record opens as a page. */
"use strict";

(() => {
  const drawing = document.getElementById("drawing");
  const drawer = document.getElementById("drawer");

  if (drawing) {
    const svg = drawing.querySelector("svg"), span = svg.querySelector(".span");
    const [start, end, grid, length, left, right, marks] = ["start", "end", "grid", "width", "left", "right", "marks"].map((name) => Number(drawing.dataset[name]));
    const width = (right - left) / marks;
    let anchor = null, head = null, dragged = false;

    const clamp = (value) => Math.max(0, Math.min(marks - 1, value));
    const iso = (us) => new Date(us / 1000).toISOString();
    const at = (bucket) => Math.max(start, Math.min(end, grid + bucket * length));
    const above = (us) => Math.ceil(us / 1000) * 1000;  // a Date has whole milliseconds

    function bucketAt(event) {
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
      return x < left || x > right ? null : clamp(Math.floor((x - left) / width));
    }

    function show() {
      const shown = anchor !== null;
      const from = shown ? Math.min(anchor, head) : 0, count = shown ? Math.abs(head - anchor) + 1 : 0;
      span.setAttribute("x", left + from * width);
      span.setAttribute("width", count * width);
      if (shown) say(`${iso(at(from)).slice(0, 16).replace("T", " ")} to ${iso(at(from + count)).slice(0, 16).replace("T", " ")} UTC`);
    }

    function zoom() {
      const from = Math.min(anchor, head), to = Math.max(anchor, head) + 1;
      const joint = drawing.dataset.zoom === "?" ? "" : "&";
      location.assign(`${drawing.dataset.zoom}${joint}from=${iso(at(from))}&to=${iso(above(at(to)))}#kill-chain`);
    }

    svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.pointerType === "touch") return;
      anchor = head = bucketAt(event);
      dragged = false;
    });
    svg.addEventListener("pointermove", (event) => {
      const bucket = anchor === null || !event.buttons ? null : bucketAt(event);
      if (bucket === null || bucket === head) return;
      dragged = true;
      head = bucket;
      show();
    });
    svg.addEventListener("dragstart", (event) => event.preventDefault());
    svg.addEventListener("pointerup", () => { if (dragged) zoom(); else if (document.activeElement !== drawing) anchor = null; });
    svg.addEventListener("click", (event) => { if (dragged) event.preventDefault(); }, true);

    drawing.addEventListener("keydown", (event) => {
      if (event.target !== drawing) return;
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step && !event.ctrlKey && !event.metaKey && !event.altKey) {
        head = head === null || anchor === null ? (step > 0 ? 0 : marks - 1) : clamp(head + step);
        if (!event.shiftKey || anchor === null) anchor = head;
        event.preventDefault();
        show();
        span.scrollIntoView({ block: "nearest", inline: "nearest" });
      } else if (event.key === "Enter" && anchor !== null) {
        event.preventDefault();
        zoom();
      } else if (event.key === "Escape") {
        anchor = head = null;
        show();
      }
    });
  }

  if (drawer) {
    let opener = null;
    document.addEventListener("htmx:beforeRequest", (event) => {
      if (event.detail.target === drawer) opener = event.detail.elt;
    });
    document.addEventListener("htmx:afterSwap", (event) => {
      if (event.detail.target !== drawer) return;
      drawer.classList.add("open");
      drawer.querySelector("h2").focus();
    });
    const close = () => {
      drawer.classList.remove("open");
      drawer.replaceChildren();
      if (opener) opener.focus();
    };
    document.addEventListener("focusin", (event) => {
      if (!drawer.classList.contains("open") || drawer.contains(event.target)) return;
      // The keyboard has left the drawer: what it has reached must not be behind it.
      if (event.target.getBoundingClientRect().right <= drawer.getBoundingClientRect().left) return;
      opener = null;
      close();
    });
    drawer.addEventListener("click", (event) => {
      if (!event.target.closest("[data-close]")) return;
      event.preventDefault();
      close();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && drawer.classList.contains("open")) close();
    });
  }
})();
