// Building and changing the page. Text is only ever set as text: names come from strangers.

/** An element. `props` are attributes, but for `text`, `class`, `data` and handlers (`onclick` …). */
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "text") node.textContent = value;
    else if (key === "class") node.setAttribute("class", value);
    else if (key === "data") Object.assign(node.dataset, value);
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Sets text only where it is another: the reader's selection and screen readers are left alone. */
export function say(node, text) {
  const wanted = text ?? "";
  if (node.textContent !== wanted) node.textContent = wanted;
}

export function attr(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value === true ? "" : value);
  }
}

export function show(node, isShown) {
  attr(node, "hidden", !isShown);
}

/** Keeps one child for each item, by its key, in the items' order; children are changed and moved, not made anew. */
export function keyed(parent, items, key, make, change) {
  const known = parent.keyed ?? (parent.keyed = new Map());
  const wanted = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const id = key(item);
    if (wanted.has(id)) continue;
    wanted.add(id);
    let node = known.get(id);
    if (!node) {
      node = make(item);
      known.set(id, node);
    }
    change?.(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const [id, node] of known) {
    if (wanted.has(id)) continue;
    node.remove();
    known.delete(id);
  }
}

/** Tells screen readers, by a live region. */
export function announcer(node) {
  let timer = 0;
  return (text) => {
    // The same sentence twice is said twice.
    node.textContent = "";
    clearTimeout(timer);
    timer = setTimeout(() => { node.textContent = text; }, 60);
  };
}
