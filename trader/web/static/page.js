"use strict";
// Keeps the page current in place: every two seconds the server renders the panels again, and only what differs is changed,
// so that focus, selection and scroll position stay. Without this script the page reloads itself.
const EVERY_MS = 2000;
const LATE_MS = 5000;
let lastAnswer = Date.now();

function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || from.id !== to.id) {
    from.replaceWith(to.cloneNode(true));
    return;
  }
  if (from.nodeType === Node.TEXT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) return;
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name)) from.removeAttribute(name);
  for (const { name, value } of [...to.attributes]) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  morphChildren(from, to);
}

function morphChildren(from, to) {
  const wanted = [...to.childNodes];
  while (from.childNodes.length > wanted.length) from.lastChild.remove();
  wanted.forEach((node, index) => {
    const present = from.childNodes[index];
    if (present) morph(present, node);
    else from.append(node.cloneNode(true));
  });
}

async function refresh() {
  try {
    const answer = await fetch("/panels.json", { cache: "no-store", signal: AbortSignal.timeout(LATE_MS) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const { title, html } = await answer.json();
    const next = document.createElement("div");
    next.innerHTML = html;
    morphChildren(document.getElementById("panels"), next);
    document.title = title;
    lastAnswer = Date.now();
    document.getElementById("offline").hidden = true;
    document.body.classList.remove("offline");
  } catch (error) {
    const seconds = Math.round((Date.now() - lastAnswer) / 1000);
    if (seconds >= LATE_MS / 1000) {
      document.getElementById("offline-since").textContent = `${seconds} s ago`;
      document.getElementById("offline").hidden = false;
      document.body.classList.add("offline");
    }
  }
  setTimeout(refresh, document.hidden ? 5 * EVERY_MS : EVERY_MS);
}

setTimeout(refresh, EVERY_MS);
