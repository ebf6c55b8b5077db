/**
 * A small Markdown: what an analyst writes, and nothing that could do something.
 *
 * Upstream: text of Tracy, piece by piece.
 * Downstream: `markdown_view`.
 * Guarantee: no images, no HTML, no links but to our own pages and to citations; whatever is not understood stays text.
 * Half a text is a valid text, so an answer can be shown while it comes.
 */
export type Inline =
  | { readonly kind: "text" | "code"; readonly text: string }
  | { readonly kind: "strong" | "em"; readonly parts: readonly Inline[] }
  | { readonly kind: "link"; readonly to: string; readonly parts: readonly Inline[] }
  | { readonly kind: "citation"; readonly id: string; readonly text: string };

export type Block =
  | { readonly kind: "paragraph" | "quote"; readonly parts: readonly Inline[] }
  | { readonly kind: "heading"; readonly level: number; readonly parts: readonly Inline[] }
  | { readonly kind: "code"; readonly language: string; readonly text: string }
  | { readonly kind: "list"; readonly isOrdered: boolean; readonly items: readonly (readonly Inline[])[] }
  | { readonly kind: "table"; readonly head: readonly (readonly Inline[])[]; readonly rows: readonly (readonly (readonly Inline[])[])[] };

const ITEM = /^\s{0,6}(?:[-*+]|(\d{1,3})[.)])\s+(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;
const OWN_PAGE = /^\/(?!\/)[^\s\\]*$/;
const CITATION = /^#(c\d{1,5})$/;

export function parseMarkdown(text: string): Block[] {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at]!;
    if (line.trim() === "") {
      at += 1;
      continue;
    }
    const fence = /^\s*```\s*([\w+-]*)/.exec(line);
    if (fence !== null) {
      const from = at + 1;
      for (at = from; at < lines.length && !/^\s*```\s*$/.test(lines[at]!); ) at += 1;
      blocks.push({ kind: "code", language: fence[1] ?? "", text: lines.slice(from, at).join("\n") });
      at += 1;
      continue;
    }
    const heading = /^(#{1,6})\s+(.*?)\s*#*$/.exec(line);
    if (heading !== null) {
      blocks.push({ kind: "heading", level: heading[1]!.length, parts: parseInline(heading[2]!) });
      at += 1;
      continue;
    }
    if (line.includes("|") && at + 1 < lines.length && lines[at + 1]!.includes("-") && TABLE_RULE.test(lines[at + 1]!)) {
      const head = cells(line);
      const rows: Inline[][][] = [];
      for (at += 2; at < lines.length && lines[at]!.includes("|"); at += 1) rows.push(cells(lines[at]!));
      blocks.push({ kind: "table", head, rows });
      continue;
    }
    const item = ITEM.exec(line);
    if (item !== null) {
      const isOrdered = item[1] !== undefined;
      const items: Inline[][] = [];
      for (let match: RegExpExecArray | null; at < lines.length && (match = ITEM.exec(lines[at]!)) !== null; at += 1) {
        if ((match[1] !== undefined) !== isOrdered) break;
        items.push(parseInline(match[2]!));
      }
      blocks.push({ kind: "list", isOrdered, items });
      continue;
    }
    const isQuote = line.startsWith(">");
    const from = at;
    for (at += 1; at < lines.length && isProse(lines[at]!) && lines[at]!.startsWith(">") === isQuote; ) at += 1;
    const prose = lines.slice(from, at).map((part) => (isQuote ? part.replace(/^>\s?/, "") : part));
    blocks.push({ kind: isQuote ? "quote" : "paragraph", parts: parseInline(prose.join("\n")) });
  }
  return blocks;
}

function isProse(line: string): boolean {
  return line.trim() !== "" && !ITEM.test(line) && !/^(#{1,6}\s|\s*```)/.test(line) && !line.includes("|");
}

function cells(line: string): Inline[][] {
  return line
    .trim()
    .replace(/^\||\|$/g, "")
    .split("|")
    .map((cell) => parseInline(cell.trim()));
}

const INLINE = /(`+)([^`]+)\1|!?\[([^\]\n]{0,400})\]\(((?:[^()\s]|\([^()\s]*\))*)\)|\*\*([^*\n]+)\*\*|(?<![\w*])\*([^*\n]+)\*(?![\w*])|(?<!\w)_([^_\n]+)_(?!\w)/;

export function parseInline(text: string): Inline[] {
  const parts: Inline[] = [];
  let rest = text;
  for (let match = INLINE.exec(rest); match !== null; match = INLINE.exec(rest)) {
    if (match.index > 0) parts.push({ kind: "text", text: rest.slice(0, match.index) });
    const [whole, , code, label, target, strong, star, under] = match;
    if (code !== undefined) parts.push({ kind: "code", text: code });
    else if (target !== undefined) parts.push(linkOf(whole, label ?? "", target));
    else if (strong !== undefined) parts.push({ kind: "strong", parts: parseInline(strong) });
    else parts.push({ kind: "em", parts: parseInline((star ?? under)!) });
    rest = rest.slice(match.index + whole.length);
  }
  if (rest !== "") parts.push({ kind: "text", text: rest });
  return parts;
}

function linkOf(whole: string, label: string, target: string): Inline {
  if (whole.startsWith("!")) return { kind: "text", text: label };
  const citation = CITATION.exec(target);
  if (citation !== null) return { kind: "citation", id: citation[1]!, text: label };
  if (OWN_PAGE.test(target)) return { kind: "link", to: target, parts: parseInline(label) };
  // Somewhere else: the words stay, the address does not.
  return { kind: "text", text: label };
}
