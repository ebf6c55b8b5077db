/**
 * A chart in the colours of the theme.
 *
 * Upstream: an option of ECharts without colours; a sentence that says what it shows.
 * Downstream: trends, results of SQL, Tracy.
 * Guarantee: the library is loaded when the first chart is shown; nothing moves for those who want it still; screen
 * readers hear the sentence.
 */
import type { EChartsCoreOption, EChartsType } from "echarts/core";
import { useEffect, useRef, useState } from "react";

import { useTheme } from "./theme";

interface ChartProps {
  readonly option: EChartsCoreOption;
  readonly label: string;
  readonly heightPx?: number;
}

export function Chart({ option, label, heightPx = 220 }: ChartProps) {
  const theme = useTheme();
  const box = useRef<HTMLDivElement>(null);
  const [chart, setChart] = useState<EChartsType>();
  const [hasFailed, setFailed] = useState(false);
  useEffect(() => {
    let made: EChartsType | undefined;
    let observer: ResizeObserver | undefined;
    let isGone = false;
    import("./chart_engine")
      .then(({ init }) => {
        if (isGone || box.current === null) return;
        made = init(box.current, undefined, { renderer: "canvas" });
        observer = new ResizeObserver(() => made?.resize());
        observer.observe(box.current);
        setChart(made);
      })
      .catch(() => setFailed(true));
    return () => {
      isGone = true;
      observer?.disconnect();
      made?.dispose();
      setChart(undefined);
    };
  }, []);
  useEffect(() => {
    chart?.setOption({ ...themed(), ...inColours(option) }, { notMerge: true });
  }, [chart, option, theme]);
  return (
    <div className="chart" role="img" aria-label={label}>
      {hasFailed && <p className="soft">The chart could not be loaded.</p>}
      <div ref={box} style={{ height: heightPx }} />
    </div>
  );
}

/** What every chart has in common, from the style sheet. */
function themed(): EChartsCoreOption {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(name).trim();
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  return {
    animation: !isStill,
    animationDuration: 250,
    backgroundColor: "transparent",
    color: ["--accent", "--tool", "--run", "--line-strong", "--ok", "--bad"].map(of),
    textStyle: { color: of("--text"), fontFamily: of("--font") },
    darkMode: document.documentElement.dataset["theme"] === "dark",
  };
}

type Fields = Readonly<Record<string, unknown>>;
const fieldsOf = (value: unknown): Fields => (typeof value === "object" && value !== null ? (value as Fields) : {});

/** Title, legend, axes and tooltip of an option in the colours of the theme; whatever it sets itself stays. */
function inColours(option: EChartsCoreOption): EChartsCoreOption {
  const style = getComputedStyle(document.documentElement);
  const [line, soft, surface, text] = ["--line", "--text-soft", "--surface", "--text"].map((name) => style.getPropertyValue(name).trim());
  const axis = (raw: unknown) => {
    if (raw === undefined) return undefined;
    const own = fieldsOf(raw);
    return {
      ...own,
      axisLabel: { color: soft, ...fieldsOf(own["axisLabel"]) },
      axisLine: { lineStyle: { color: line } },
      nameTextStyle: { color: soft },
      splitLine: { lineStyle: { color: line } },
    };
  };
  const title = fieldsOf(option["title"]);
  return {
    ...option,
    title: { ...title, textStyle: { color: text, ...fieldsOf(title["textStyle"]) }, subtextStyle: { color: soft } },
    legend: { ...fieldsOf(option["legend"]), textStyle: { color: soft } },
    tooltip: { ...fieldsOf(option["tooltip"]), backgroundColor: surface, borderColor: line, textStyle: { color: text, fontSize: 12 } },
    xAxis: axis(option["xAxis"]),
    yAxis: axis(option["yAxis"]),
  };
}

export interface Series {
  readonly name: string;
  readonly values: readonly (number | null)[];
  readonly kind?: "line" | "bar";
  readonly stack?: string;
}

/** An option for values over named or timed places. */
export function overPlaces(
  places: readonly string[],
  series: readonly Series[],
  format: (value: number) => string,
  axis: { readonly max?: number; readonly minInterval?: number; readonly interval?: number } = {},
): EChartsCoreOption {
  return {
    grid: { left: 8, right: 12, top: series.length > 1 ? 30 : 12, bottom: 4, containLabel: true },
    legend: series.length > 1 ? { top: 0, right: 0, itemHeight: 10 } : { show: false },
    tooltip: {
      trigger: "axis",
      renderMode: "richText",
      valueFormatter: (value: unknown) => (typeof value === "number" ? format(value) : "–"),
    },
    xAxis: {
      type: "category",
      data: places,
      axisTick: { show: false },
      axisLabel: { hideOverlap: true },
    },
    yAxis: {
      type: "value",
      splitNumber: 3,
      ...axis,
      axisLabel: { formatter: format },
    },
    series: series.map(({ name, values, kind = "line", stack }) => ({
      name,
      type: kind,
      data: values,
      ...(stack === undefined ? {} : { stack }),
      ...(kind === "line" ? { showSymbol: isSparse(values), symbolSize: 6, areaStyle: { opacity: 0.12 } } : { barMaxWidth: 28 }),
    })),
  };
}

/** Whether a line would leave out points: a value between two that are unknown is no stretch of a line. */
function isSparse(values: readonly (number | null)[]): boolean {
  return values.some((value, at) => value !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null);
}
