/**
 * Results of SQL as text, files and charts.
 *
 * Upstream: an answer of POST /v1/sql.
 * Downstream: the SQL page.
 * Guarantee: a CSV that a spreadsheet opens runs no formula that an agent wrote; a chart is offered only where there is
 * something to draw.
 */
import type { SqlAnswer } from "../api/queries";
import { formatValue } from "../kit/format";

export function isNumeric(type: string): boolean {
  return /^(tinyint|smallint|integer|bigint|real|double|decimal)/.test(type);
}

/** A cell as people read it; a file gets it as it was told. */
export function cellText(value: unknown, type: string): string {
  const text = formatValue(value);
  return type.startsWith("timestamp") ? text.replace(/^([\d-]+)T/, "$1 ").replace(/(?:\.(\d*?)0*)?(?:Z|\+00:00| UTC)?$/, (_, digits?: string) => (digits ? `.${digits}` : "")) : text;
}

export function toCsv({ columns, rows }: SqlAnswer): string {
  const cell = (value: unknown, type: string) => {
    let text = formatValue(value);
    if (!isNumeric(type) && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [columns.map((column) => cell(column.name, "varchar")).join(",")];
  for (const row of rows) lines.push(row.map((value, at) => cell(value, columns[at]?.type ?? "")).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

export function toJson({ columns, rows }: SqlAnswer): string {
  return JSON.stringify(
    rows.map((row) => Object.fromEntries(row.map((value, at) => [columns[at]?.name ?? String(at), value]))),
    null,
    2,
  );
}

export interface Plot {
  readonly kind: "line" | "bar";
  readonly isMoney: boolean;
  readonly places: readonly string[];
  readonly series: readonly { readonly name: string; readonly values: readonly (number | null)[] }[];
}

const MAX_SERIES = 5;
const MAX_PLACES = 500;

/**
 * The first column that is no number against the ones that are; undefined when that would show nothing. Dollars are
 * drawn alone, as counts beside them would leave them flat; places that come again are one place, with a series for
 * each value of the next column.
 */
export function plotOf({ columns, rows }: SqlAnswer): Plot | undefined {
  const texts = columns.flatMap((column, at) => (isNumeric(column.type) ? [] : [at]));
  const numbers = columns.flatMap((column, at) => (isNumeric(column.type) ? [at] : []));
  const [place, group] = texts;
  if (place === undefined || numbers.length === 0 || rows.length < 2) return undefined;
  const dollars = numbers.filter((at) => columns[at]!.name.endsWith("_usd"));
  const drawn = dollars.length > 0 ? dollars : numbers;
  const isTime = /^(date|time)/.test(columns[place]!.type);
  const shown = rows.slice(0, MAX_PLACES);
  const order = isTime ? shown.toSorted((left, right) => formatValue(left[place]).localeCompare(formatValue(right[place]))) : shown;
  const all = order.map((row) => cellText(row[place], columns[place]!.type));
  const places = [...new Set(all)];
  const numberOf = (row: readonly unknown[] | undefined, at: number) => (row === undefined || row[at] === null ? null : Number(row[at]));
  const common = { kind: isTime && places.length > 1 ? ("line" as const) : ("bar" as const), isMoney: dollars.length > 0 };
  if (places.length === all.length || group === undefined) {
    return { ...common, places: all, series: drawn.slice(0, MAX_SERIES).map((at) => ({ name: columns[at]!.name, values: order.map((row) => numberOf(row, at)) })) };
  }
  const rowAt = new Map(order.map((row, at) => [`${all[at]}\n${formatValue(row[group])}`, row]));
  const groups = [...new Set(order.map((row) => formatValue(row[group])))].slice(0, MAX_SERIES);
  return { ...common, places, series: groups.map((name) => ({ name, values: places.map((at) => numberOf(rowAt.get(`${at}\n${name}`), drawn[0]!)) })) };
}

export function download(name: string, type: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}
