/**
 * Paints a timeline on its canvases.
 *
 * Upstream: `timeline` with what is in sight.
 * Downstream: two canvases.
 * Guarantee: work in proportion to the pixels, not to the spans; colours come from the style sheet of the theme.
 */
import type { TraceTimeline } from "../api/queries";
import { formatDuration } from "../kit/format";
import type { TraceModel } from "./model";
import { type Lanes, ticks, type TimeView } from "./timeline_scale";

export const LANE_PX = 22;
const BAR_PX = 16;
const TICK_PX = 110;
const LABEL_LEAST_PX = 46;

export interface Palette {
  readonly kinds: Record<string, string>;
  readonly other: string;
  readonly bad: string;
  readonly text: string;
  readonly soft: string;
  readonly line: string;
  readonly ground: string;
  readonly accent: string;
  readonly font: string;
}

export interface Scene {
  readonly model: TraceModel;
  readonly lanes: Lanes;
  readonly endsMs: Float64Array;
  readonly view: TimeView;
  readonly totalMs: number;
  readonly palette: Palette;
  readonly selected: number;
  readonly hover: number | undefined;
  readonly laneOf: readonly number[];
}

interface Size {
  readonly width: number;
  readonly height: number;
}

export function paletteOf(root: HTMLElement): Palette {
  const style = getComputedStyle(root);
  const of = (name: string) => style.getPropertyValue(name).trim();
  return {
    kinds: {
      run: of("--run"),
      attempt: of("--run"),
      model_call: of("--model"),
      tool_call: of("--tool"),
      guard: of("--guard"),
    },
    other: of("--line-strong"),
    bad: of("--bad"),
    text: of("--text"),
    soft: of("--text-soft"),
    line: of("--line"),
    ground: of("--surface"),
    accent: of("--accent"),
    font: `12px ${of("--font")}`,
  };
}

export function draw(
  canvas: HTMLCanvasElement,
  size: Size,
  scrollTop: number,
  scene: Scene,
  critical: TraceTimeline["critical_path"],
): void {
  const pen = prepare(canvas, size);
  if (pen === null) return;
  const { model, lanes, view, palette, endsMs } = scene;
  const perMs = size.width / (view.toMs - view.fromMs);
  const xOf = (ms: number) => (ms - view.fromMs) * perMs;
  pen.font = palette.font;
  pen.textBaseline = "middle";

  for (const tick of ticks(view, size.width / TICK_PX)) {
    pen.fillStyle = palette.line;
    pen.fillRect(Math.round(xOf(tick)), 0, 1, size.height);
    pen.fillStyle = palette.soft;
    pen.fillText(formatDuration(tick), xOf(tick) + 4, size.height - 8);
  }

  const first = Math.floor(scrollTop / LANE_PX);
  const last = Math.min(lanes.count - 1, Math.ceil((scrollTop + size.height) / LANE_PX));
  for (let lane = first; lane <= last; lane += 1) {
    const top = lane * LANE_PX - scrollTop + 3;
    let drawnTo = -Infinity;
    for (const index of lanes.inView(lane, view)) {
      const left = Math.max(-2, xOf(model.columns.startsMs[index]!));
      const right = Math.min(size.width + 2, xOf(endsMs[index]!));
      const isMarked = index === scene.selected || index === scene.hover;
      if (right <= drawnTo && !isMarked) continue;
      const width = Math.max(1.5, right - left - (right - left > 3 ? 1 : 0));
      drawnTo = left + width;
      drawBar(pen, scene, index, left, top, width, isMarked);
    }
  }

  pen.fillStyle = palette.text;
  for (const segment of critical) {
    if (segment.index < 0) continue;
    const left = xOf(segment.start_us / 1_000);
    const right = xOf((segment.start_us + segment.duration_us) / 1_000);
    const top = scene.laneOf[segment.index]! * LANE_PX - scrollTop;
    if (right < 0 || left > size.width || top < -LANE_PX || top > size.height) continue;
    pen.fillRect(left, top + 3 + BAR_PX, Math.max(1, right - left), 2);
  }
}

function drawBar(
  pen: CanvasRenderingContext2D,
  { model, palette }: Scene,
  index: number,
  left: number,
  top: number,
  width: number,
  isMarked: boolean,
): void {
  const status = model.columns.statuses[index];
  const colour = palette.kinds[model.columns.kinds[index]!] ?? palette.other;
  const isBad = status === "error" || status === "blocked";
  pen.globalAlpha = model.hasChildren(index) ? 0.45 : 0.95;
  pen.fillStyle = isBad ? palette.bad : colour;
  pen.fillRect(left, top, width, BAR_PX);
  pen.globalAlpha = 1;
  if (isMarked) {
    pen.strokeStyle = palette.text;
    pen.lineWidth = 2;
    pen.strokeRect(left, top, width, BAR_PX);
  }
  if (width > LABEL_LEAST_PX) {
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width - 4, BAR_PX);
    pen.clip();
    pen.fillStyle = model.hasChildren(index) ? palette.text : palette.ground;
    pen.fillText(model.columns.names[index]!, Math.max(0, left) + 5, top + BAR_PX / 2 + 0.5);
    pen.restore();
  }
}

export function drawOverview(canvas: HTMLCanvasElement, size: Size, scene: Scene): void {
  const pen = prepare(canvas, size);
  if (pen === null || scene.totalMs <= 0) return;
  const { model, palette, view, totalMs, endsMs } = scene;
  const perMs = size.width / totalMs;
  const rowPx = Math.max(1, Math.min(5, (size.height - 4) / Math.max(1, scene.lanes.count)));
  const columns = Math.ceil(size.width);
  const drawn = new Uint8Array((columns + 1) * 64);
  for (let index = 0; index < model.size; index += 1) {
    const lane = scene.laneOf[index]! % 64;
    const left = model.columns.startsMs[index]! * perMs;
    const right = Math.max(left + 1, endsMs[index]! * perMs);
    const at = lane * columns + Math.floor(left);
    if (right - left <= 1.5 && drawn[at] === 1) continue;
    drawn[at] = 1;
    const isBad = model.columns.statuses[index] === "error";
    pen.globalAlpha = model.hasChildren(index) ? 0.4 : 0.9;
    pen.fillStyle = isBad ? palette.bad : (palette.kinds[model.columns.kinds[index]!] ?? palette.other);
    pen.fillRect(left, 2 + ((lane * rowPx) % (size.height - 4)), right - left, Math.max(1, rowPx - 1));
  }
  pen.globalAlpha = 0.5;
  pen.fillStyle = palette.line;
  pen.fillRect(0, 0, view.fromMs * perMs, size.height);
  pen.fillRect(view.toMs * perMs, 0, size.width, size.height);
  pen.globalAlpha = 1;
  pen.strokeStyle = palette.accent;
  pen.lineWidth = 2;
  pen.strokeRect(view.fromMs * perMs + 1, 1, Math.max(2, (view.toMs - view.fromMs) * perMs - 2), size.height - 2);
}

/** Size a canvas to its box in real pixels and return its pen; null while there is nothing to draw on. */
function prepare(canvas: HTMLCanvasElement, { width, height }: Size): CanvasRenderingContext2D | null {
  if (width <= 0 || height <= 0) return null;
  const ratio = globalThis.devicePixelRatio || 1;
  const real = [Math.round(width * ratio), Math.round(height * ratio)] as const;
  if (canvas.width !== real[0] || canvas.height !== real[1]) {
    [canvas.width, canvas.height] = real;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext("2d");
  pen?.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen?.clearRect(0, 0, width, height);
  return pen;
}
