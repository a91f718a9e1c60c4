/* A small Markdown for what a model writes: paragraphs, headings, lists, quotes, code, bold, italic.
 *
 * The text is untrusted. It only ever becomes text nodes: no HTML is parsed, no attribute is set from it (a list's first
 * number apart, which is a number), and there are no links or images, so nothing can be fetched or lead away. Time is
 * linear in the text's length. */

const FENCE = /^\s*(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}#{1,6} +(.*)$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)]) +(.*)$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const RULE = /^ {0,3}([-*_])( *\1){2,} *$/;
const DEEPEST = 4;

const opensBlock = (line) => [FENCE, HEADING, RULE, ITEM, QUOTE].some((form) => form.test(line));

/* [{ kind, source, ... }] in order; `source` is the block's own text. */
export function blocks(text) {
  const lines = text.replace(/\r\n?/g, '\n').split('\n');
  const out = [];
  let at = 0;
  while (at < lines.length) {
    const begin = at;
    const block = lines[at].trim() === '' ? (at++, null) : readBlock();
    if (block) out.push({ ...block, source: lines.slice(begin, at).join('\n') });
  }
  return out;

  function readBlock() {
    const line = lines[at];
    let found;
    if ((found = FENCE.exec(line))) return readCode(found);
    if (ITEM.test(line) && !RULE.test(line)) return readList();
    at++;
    if ((found = HEADING.exec(line))) return { kind: 'heading', text: found[1] };
    if (RULE.test(line)) return { kind: 'rule' };
    if ((found = QUOTE.exec(line)))
      return { kind: 'quote', text: [found[1], ...takeWhile((l) => QUOTE.exec(l)?.[1])].join('\n') };
    return {
      kind: 'paragraph',
      text: [line, ...takeWhile((l) => (l.trim() && !opensBlock(l) ? l : undefined))].join('\n'),
    };
  }

  /* Lines while `of` gives a text for them. */
  function takeWhile(of) {
    const taken = [];
    for (let t; at < lines.length && (t = of(lines[at])) !== undefined; at++) taken.push(t);
    return taken;
  }

  /* A fence that is not closed yet runs to the end: the answer is still being written. */
  function readCode([, fence, info]) {
    const indent = lines[at].search(/\S/);
    at++;
    const closes = (l) => l.trim().startsWith(fence) && /^[`~]+$/.test(l.trim());
    const code = takeWhile((l) => (closes(l) ? undefined : l.slice(Math.min(indent, Math.max(0, l.search(/\S/))))));
    at++;
    return { kind: 'code', language: info.trim().split(' ')[0], text: code.join('\n') };
  }

  function readList() {
    const items = [];
    while (at < lines.length) {
      const found = ITEM.exec(lines[at]);
      if (found && !RULE.test(lines[at]))
        items.push({
          indent: found[1].length,
          ordered: /\d/.test(found[2]),
          number: parseInt(found[2], 10),
          text: found[3],
        });
      else if (lines[at].trim() && !opensBlock(lines[at])) items.at(-1).text += '\n' + lines[at].trim();
      else if (lines[at].trim() || !ITEM.test(lines[at + 1] ?? '')) break;
      at++;
    }
    return { kind: 'list', items };
  }
}

/* ---- text inside a block ---- */

const MARKS = [
  ['`', 'code'],
  ['**', 'strong'],
  ['__', 'strong'],
  ['*', 'em'],
  ['_', 'em'],
];

/* Is the mark at `begin` the beginning of something that ends at `end`? Words with_underscores are left alone. */
function fits(text, mark, begin, end) {
  const inside = text.slice(begin + mark.length, end);
  if (!inside || (mark[0] !== '`' && inside !== inside.trim())) return false;
  return mark[0] !== '_' || !(/\w/.test(text[begin - 1] ?? '') || /\w/.test(text[end + mark.length] ?? ''));
}

export function inline(parent, text, depth = 0) {
  const gone = new Set(); /* marks that do not come again */
  let plain = 0,
    at = 0;
  const flush = (end) => end > plain && parent.append(text.slice(plain, end));
  while (at < text.length) {
    const [run] = /^`+/.exec(text.slice(at, at + 8)) ?? [];
    const [mark, tag] = run ? [run, 'code'] : (MARKS.find(([m]) => text.startsWith(m, at)) ?? []);
    const end = mark && !gone.has(mark) ? text.indexOf(mark, at + mark.length) : -1;
    if (mark && end < 0) gone.add(mark);
    if (end > 0 && depth < DEEPEST && fits(text, mark, at, end)) {
      flush(at);
      const node = document.createElement(tag);
      const inside = text.slice(at + mark.length, end);
      if (tag === 'code') node.textContent = inside.length > 2 ? inside.replace(/^ (.*) $/s, '$1') : inside;
      else inline(node, inside, depth + 1);
      parent.append(node);
      plain = at = end + mark.length;
    } else {
      at += mark?.length ?? 1;
    }
  }
  flush(text.length);
  return parent;
}

/* ---- blocks to elements ---- */

const make = (tag, ...children) => {
  const node = document.createElement(tag);
  node.append(...children);
  return node;
};

function list(items) {
  const open = []; /* the lists around the next item, outermost first */
  for (const item of items) {
    while (open.length > 1 && item.indent < open.at(-1).indent) open.pop();
    if (!open.length || (item.indent > open.at(-1).indent + 1 && open.length < DEEPEST)) {
      const node = document.createElement(item.ordered ? 'ol' : 'ul');
      if (item.ordered) node.start = item.number;
      open.at(-1)?.node.lastChild.append(node);
      open.push({ node, indent: item.indent });
    }
    open.at(-1).node.append(inline(document.createElement('li'), item.text));
  }
  return open[0].node;
}

function code({ language, text }) {
  const button = make('button', 'Copy');
  button.type = 'button';
  button.dataset.copy = '';
  const pre = make('pre', make('code', text));
  pre.tabIndex = 0; /* it scrolls sideways */
  return make('figure', make('figcaption', make('span', language || 'code'), button), pre);
}

const ELEMENTS = {
  code,
  list: ({ items }) => list(items),
  heading: ({ text }) => inline(document.createElement('h3'), text),
  rule: () => document.createElement('hr'),
  quote: ({ text }) => make('blockquote', inline(document.createElement('p'), text)),
  paragraph: ({ text }) => inline(document.createElement('p'), text),
};

const sources = new WeakMap();

/* Makes `container` show `text`; blocks that are there already stay, so that an answer can grow and be read. */
export function render(container, text) {
  const next = blocks(text);
  if (!container.firstElementChild) container.replaceChildren();
  next.forEach((block, i) => {
    const old = container.children[i];
    if (old && sources.get(old) === block.source) return;
    const node = ELEMENTS[block.kind](block);
    sources.set(node, block.source);
    if (old) old.replaceWith(node);
    else container.append(node);
  });
  while (container.children.length > next.length) container.lastElementChild.remove();
}
