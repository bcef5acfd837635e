"use strict";
// Search and filter of the log, and opening of what a link leads to. Text is only ever made with text nodes.
(() => {
  const log = document.getElementById("lines");
  for (const tool of document.querySelectorAll(".tool")) tool.hidden = false;

  const show = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") target.open = true;
  };
  addEventListener("hashchange", show);
  show();

  const all = [...document.querySelectorAll("details")];
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all.filter((each) => !each.open);
    for (const each of closed) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of closed) each.open = false;
  });

  if (!log) return;
  const search = document.getElementById("search");
  const only = document.getElementById("only");
  const found = document.getElementById("found");
  const debug = document.getElementById("debug"); // there only if there are such lines
  const MOST_MARKS = 2000; // more than anybody steps through; marking all of a long log takes seconds
  const lines = [...log.children].map((item) => {
    const words = item.lastElementChild;
    const gap = item.className === "gap"; // a note that lines are left out: no line, and never searched away
    return { item, words, gap, debug: item.className === "debug", text: gap ? "" : words.textContent.toLowerCase(), html: null };
  });

  const unmark = (line) => {
    if (!line.html) return;
    line.words.replaceChildren(...line.html);
    line.html = null;
  };

  const mark = (line, wanted) => {
    const nodes = [...line.words.childNodes];
    const made = nodes.flatMap((node) => {
      if (node.nodeType !== Node.TEXT_NODE) return [node.cloneNode(true)];
      const parts = [];
      const text = node.data;
      const low = text.toLowerCase();
      if (low.length !== text.length) return [node.cloneNode()]; // a letter whose small form is longer
      let end = 0;
      for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, end)) {
        const hit = document.createElement("mark");
        hit.textContent = text.slice(at, at + wanted.length);
        parts.push(text.slice(end, at), hit);
        end = at + wanted.length;
      }
      return [...parts, text.slice(end)];
    });
    line.html = nodes;
    line.words.replaceChildren(...made);
  };

  const apply = () => {
    const wanted = search.value.toLowerCase();
    const task = only.value;
    let count = 0;
    let total = 0;
    for (const line of lines) {
      unmark(line);
      const known = !line.debug || debug.checked;
      if (known && !line.gap) total += 1;
      const there = known && (!task || line.item.dataset.task === task) && (line.gap || line.text.includes(wanted));
      line.item.hidden = !there;
      if (!there || line.gap) continue;
      count += 1;
      if (wanted && count <= MOST_MARKS) mark(line, wanted);
    }
    found.textContent = `${count.toLocaleString("en")} of ${total.toLocaleString("en")} lines`;
  };

  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(apply, 80);
  });
  only.addEventListener("change", apply);
  if (debug) debug.addEventListener("change", apply);
  search.form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  for (const button of document.querySelectorAll("button[data-task]")) {
    if (!only.querySelector(`option[value="${button.dataset.task}"]`)) button.parentElement.hidden = true;
    button.addEventListener("click", () => {
      only.value = button.dataset.task;
      apply();
      log.scrollIntoView();
      search.focus({ preventScroll: true });
    });
  }
  addEventListener("keydown", (event) => {
    const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "Escape" && document.activeElement === search) {
      search.value = "";
      apply();
    }
  });
  apply();
})();
