/** Makes elements. Texts become text nodes, so nothing that a museum is called runs. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag Name; those of SVG begin with "svg:".
 * @param {Object} [properties] Attributes; functions are listeners, false and null
 *   leave an attribute out.
 * @param {...(Node|string|number|Array|null|false)} children
 */
export function make(tag, properties = {}, ...children) {
  const element = tag.startsWith("svg:")
    ? document.createElementNS(SVG, tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat().filter((c) => c !== null && c !== false));
  return element;
}

/** A link that changes the address without loading the page again. */
export function inside(address, properties, ...children) {
  return make("a", { href: address, "data-inside": true, ...properties }, ...children);
}

/** "1 museum", "2,000 museums". */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}
