/**
 * The options of a chart that Tracy may set, taken over one by one.
 *
 * Upstream: the event `chart`.
 * Downstream: `kit/chart`.
 * Guarantee: what is not listed here never reaches ECharts: no formatter, no link, no image, no HTML. The server lets
 * out the same list (api/tracy/chart.schema.json); this holds even if it did not.
 */
import type { EChartsCoreOption } from "echarts/core";

import { formatUsd } from "../kit/format";

const SERIES_TYPES = ["line", "bar", "pie", "scatter"];
const AXIS_TYPES = ["category", "value", "time", "log"];
const TRIGGERS = ["item", "axis", "none"];
const ENCODES = ["x", "y", "itemName", "value"];
const MAX_ROWS = 500;
const MAX_SERIES = 12;
const MAX_CHARS = 120;

type Fields = Readonly<Record<string, unknown>>;

/** The option that may be drawn; undefined when there is nothing to draw. */
export function allowedOption(raw: unknown): EChartsCoreOption | undefined {
  const option = fieldsOf(raw);
  const dataset = fieldsOf(option["dataset"]);
  const series = listOf(option["series"]).slice(0, MAX_SERIES).map(seriesOf).filter((one) => one !== undefined);
  const source = listOf(dataset["source"]).slice(0, MAX_ROWS).map((row) => listOf(row).map(cellOf));
  if (series.length === 0 || source.length === 0) return undefined;
  const title = fieldsOf(option["title"]);
  const values = series.map((one) => textOf(fieldsOf(one["encode"])["y"]) ?? "");
  const isMoney = values.every((name) => name.endsWith("_usd"));
  const hasAxes = series.some((one) => one["type"] !== "pie");
  return {
    title: { text: textOf(title["text"]) ?? "", subtext: textOf(title["subtext"]) ?? "", textStyle: { fontSize: 13 } },
    legend: { show: series.length > 1 || !hasAxes, bottom: 0 },
    grid: { left: 8, right: 16, top: 48, bottom: series.length > 1 ? 32 : 8, containLabel: true },
    tooltip: { trigger: oneOf(TRIGGERS, fieldsOf(option["tooltip"])["trigger"]) ?? "axis", renderMode: "richText", ...(isMoney ? { valueFormatter: (value: unknown) => formatUsd(value as number) } : {}) },
    aria: { enabled: true },
    dataset: { dimensions: listOf(dataset["dimensions"]).map((name) => textOf(name) ?? ""), source },
    ...(hasAxes ? { xAxis: axisOf(option["xAxis"], "category"), yAxis: { ...axisOf(option["yAxis"], "value"), ...(isMoney ? { axisLabel: { formatter: (value: number) => formatUsd(value) } } : {}) } } : {}),
    series,
  };
}

function seriesOf(raw: unknown): Record<string, unknown> | undefined {
  const one = fieldsOf(raw);
  const type = oneOf(SERIES_TYPES, one["type"]);
  if (type === undefined) return undefined;
  const encode = fieldsOf(one["encode"]);
  const name = textOf(one["name"]);
  return {
    type,
    encode: Object.fromEntries(ENCODES.flatMap((key) => (textOf(encode[key]) === undefined ? [] : [[key, textOf(encode[key])]]))),
    ...(name === undefined ? {} : { name }),
    ...(one["stack"] === "total" ? { stack: "total" } : {}),
    ...(one["smooth"] === true ? { smooth: true } : {}),
    ...(typeof one["areaStyle"] === "object" && one["areaStyle"] !== null ? { areaStyle: {} } : {}),
  };
}

function axisOf(raw: unknown, fallback: string): Record<string, unknown> {
  const axis = fieldsOf(raw);
  const name = textOf(axis["name"]);
  return {
    type: oneOf(AXIS_TYPES, axis["type"]) ?? fallback,
    ...(name === undefined ? {} : { name }),
    ...(axis["inverse"] === true ? { inverse: true } : {}),
  };
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value.slice(0, MAX_CHARS) : undefined;
}

function oneOf(allowed: readonly string[], value: unknown): string | undefined {
  return allowed.find((one) => one === value);
}

function cellOf(value: unknown): string | number | boolean | null {
  if (typeof value === "number" || typeof value === "boolean") return value;
  return typeof value === "string" ? value.slice(0, MAX_CHARS) : null;
}
