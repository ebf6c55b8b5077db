import { expect, test } from "vitest";

import { allowedOption } from "./chart_option";

const good = {
  title: { text: "Cost", link: "https://evil.test" },
  tooltip: { trigger: "item", renderMode: "html", formatter: "<img src=x>" },
  toolbox: { feature: { saveAsImage: {} } },
  graphic: [{ type: "image", style: { image: "https://evil.test/x.png" } }],
  xAxis: { type: "category", axisLabel: { formatter: "<b>{value}</b>" } },
  yAxis: { type: "value" },
  series: [
    { type: "bar", encode: { x: "model", y: "usd" }, label: { formatter: "x" }, itemStyle: { color: { image: "x" } } },
    { type: "custom", renderItem: "alert(1)" },
  ],
  dataset: { dimensions: ["model", "usd"], source: [["a", 1], ["b", { evil: true }]] },
};

test("only what is listed is taken over", () => {
  const option = allowedOption(good)!;
  expect(Object.keys(option).toSorted()).toEqual(["aria", "dataset", "grid", "legend", "series", "title", "tooltip", "xAxis", "yAxis"]);
  expect(option["tooltip"]).toEqual({ trigger: "item", renderMode: "richText" });
  expect(option["series"]).toEqual([{ type: "bar", encode: { x: "model", y: "usd" } }]);
  expect(option["dataset"]).toEqual({ dimensions: ["model", "usd"], source: [["a", 1], ["b", null]] });
  expect(JSON.stringify(option)).not.toMatch(/evil|formatter|image|alert/);
});

test("a pie has no axes", () => {
  const option = allowedOption({ ...good, series: [{ type: "pie", encode: { itemName: "model", value: "usd" } }] })!;
  expect("xAxis" in option).toBe(false);
});

test.each([undefined, null, "x", [], {}, { series: [{ type: "bar" }] }, { ...good, series: [] }])("nothing to draw in %j", (raw) => {
  expect(allowedOption(raw)).toBeUndefined();
});

test("dollars are written as everywhere", () => {
  const series = [{ type: "bar", encode: { x: "model", y: "cost_usd" } }];
  const option = allowedOption({ ...good, series }) as { yAxis: { axisLabel: { formatter: (value: number) => string } } };
  expect(option.yAxis.axisLabel.formatter(0.15)).toBe("$0.15");
});
