/**
 * The parts of ECharts that we draw with, loaded with the first chart.
 *
 * Upstream: `chart`.
 * Downstream: a canvas.
 * Guarantee: tooltips are drawn on the canvas: no HTML is made of names that strangers wrote.
 */
import { BarChart, LineChart, PieChart, ScatterChart } from "echarts/charts";
import {
  AriaComponent,
  DatasetComponent,
  GridComponent,
  LegendComponent,
  TitleComponent,
  TooltipComponent,
} from "echarts/components";
import { init, use as register } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";

register([
  LineChart,
  BarChart,
  PieChart,
  ScatterChart,
  GridComponent,
  TooltipComponent,
  LegendComponent,
  TitleComponent,
  DatasetComponent,
  AriaComponent,
  CanvasRenderer,
]);

export { init };
