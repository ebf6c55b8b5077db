/**
 * The timeline: every span on its lane, drawn on a canvas, with the critical path.
 *
 * Upstream: a `TraceModel`, lanes and critical path of the API.
 * Downstream: the trace page opens the step detail.
 * Guarantee: a frame draws only what is in sight and at most one span per pixel and lane, so 50,000 spans scroll
 * smoothly; the keys do what the pointer does, and the active span is told to screen readers.
 */
import { type KeyboardEvent, type PointerEvent, useEffect, useMemo, useRef, useState } from "react";

import type { TraceTimeline } from "../api/queries";
import { formatDuration, formatShare, formatUsd } from "../kit/format";
import { useTheme } from "../kit/theme";
import type { TraceModel } from "./model";
import { draw, drawOverview, LANE_PX, paletteOf } from "./timeline_draw";
import { clampView, Lanes, pan, reveal, type TimeView, whole, zoomAt } from "./timeline_scale";
import "./timeline.css";

const POINTER_SLACK_PX = 4;
const OVERVIEW_PX = 44;

interface TimelineProps {
  readonly model: TraceModel;
  readonly timeline: TraceTimeline;
  readonly selectedId: string | undefined;
  readonly onSelect: (spanId: string) => void;
}

export function Timeline({ model, timeline, selectedId, onSelect }: TimelineProps) {
  const theme = useTheme();
  const totalMs = timeline.duration_us / 1_000;
  const [view, setView] = useState<TimeView>(() => whole(totalMs));
  const [hasCritical, setCritical] = useState(true);
  const [hover, setHover] = useState<number>();
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const overview = useRef<HTMLCanvasElement>(null);
  const size = useSize(scroller);
  const [scrollTop, setScrollTop] = useState(0);
  const selected = selectedId === undefined ? -1 : model.indexOf(selectedId);

  const endsMs = useMemo(() => endsOf(model, totalMs), [model, totalMs]);
  const lanes = useMemo(
    () => new Lanes(timeline.lane.slice(0, model.size), model.columns.startsMs, endsMs),
    [timeline, model, endsMs],
  );
  const inOrder = useMemo(
    () =>
      Array.from({ length: model.size }, (_, index) => index).sort(
        (left, right) => model.columns.startsMs[left]! - model.columns.startsMs[right]!,
      ),
    [model],
  );

  // A trace that grows keeps showing all of itself, as long as all of it was shown.
  const [shownTotalMs, setShownTotalMs] = useState(totalMs);
  if (shownTotalMs !== totalMs) {
    setShownTotalMs(totalMs);
    setView(view.fromMs === 0 && view.toMs >= shownTotalMs ? whole(totalMs) : clampView(view, totalMs));
  }

  const [revealed, setRevealed] = useState(-1);
  if (revealed !== selected) {
    setRevealed(selected);
    if (selected >= 0) setView(reveal(view, model.columns.startsMs[selected]!, endsMs[selected]!, totalMs));
  }
  useEffect(() => {
    if (selected < 0) return;
    const top = timeline.lane[selected]! * LANE_PX;
    const box = scroller.current;
    if (box !== null && (top < box.scrollTop || top > box.scrollTop + box.clientHeight - 2 * LANE_PX)) {
      box.scrollTop = Math.max(0, top - box.clientHeight / 2);
    }
  }, [selected, timeline]);

  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      const palette = paletteOf(document.documentElement);
      const scene = { model, lanes, endsMs, view, palette, selected, hover, totalMs, laneOf: timeline.lane };
      if (canvas.current !== null) {
        draw(canvas.current, size, scrollTop, scene, hasCritical ? timeline.critical_path : []);
      }
      if (overview.current !== null) drawOverview(overview.current, { ...size, height: OVERVIEW_PX }, scene);
    });
    return () => cancelAnimationFrame(frame);
  }, [model, lanes, endsMs, view, selected, hover, totalMs, timeline, size, scrollTop, hasCritical, theme]);

  useEffect(() => {
    const box = scroller.current;
    if (box === null) return;
    const onWheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey && !event.shiftKey) return;
      event.preventDefault();
      const bounds = box.getBoundingClientRect();
      const share = (event.clientX - bounds.left) / bounds.width;
      const turn = event.deltaY || event.deltaX;
      setView((now) => (event.shiftKey ? pan(now, turn / 800, totalMs) : zoomAt(now, 2 ** (turn / 300), share, totalMs)));
    };
    // React's own listener is passive: it could not keep the page from zooming.
    box.addEventListener("wheel", onWheel, { passive: false });
    return () => box.removeEventListener("wheel", onWheel);
  }, [totalMs]);

  const spanAt = (event: PointerEvent<HTMLElement>): number | undefined => {
    const bounds = event.currentTarget.getBoundingClientRect();
    const perPx = (view.toMs - view.fromMs) / size.width;
    const ms = view.fromMs + (event.clientX - bounds.left) * perPx;
    const lane = Math.floor((event.clientY - bounds.top + scrollTop) / LANE_PX);
    return lanes.at(lane, ms, perPx * POINTER_SLACK_PX);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = (by: number) => {
      const at = selected < 0 ? (by > 0 ? -1 : inOrder.length) : inOrder.indexOf(selected);
      const next = inOrder[Math.min(inOrder.length - 1, Math.max(0, at + by))];
      if (next !== undefined) onSelect(model.columns.spanIds[next]!);
    };
    const actions: Record<string, () => void> = {
      ArrowRight: () => (event.shiftKey ? setView((now) => pan(now, 0.2, totalMs)) : step(1)),
      ArrowLeft: () => (event.shiftKey ? setView((now) => pan(now, -0.2, totalMs)) : step(-1)),
      Home: () => step(-inOrder.length),
      End: () => step(inOrder.length),
      "+": () => setView((now) => zoomAt(now, 0.5, 0.5, totalMs)),
      "=": () => setView((now) => zoomAt(now, 0.5, 0.5, totalMs)),
      "-": () => setView((now) => zoomAt(now, 2, 0.5, totalMs)),
      "0": () => setView(whole(totalMs)),
    };
    const action = actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  };

  const told = hover ?? (selected >= 0 ? selected : undefined);
  return (
    <div className="timeline">
      <div className="timeline-tools">
        <button type="button" className="button button-small" onClick={() => setView((now) => zoomAt(now, 0.5, 0.5, totalMs))}>
          Closer
        </button>
        <button type="button" className="button button-small" onClick={() => setView((now) => zoomAt(now, 2, 0.5, totalMs))}>
          Farther
        </button>
        <button type="button" className="button button-small" onClick={() => setView(whole(totalMs))}>
          All
        </button>
        <label className="check">
          <input type="checkbox" checked={hasCritical} onChange={(event) => setCritical(event.target.checked)} />
          Critical path
        </label>
        <CriticalShares model={model} timeline={timeline} />
        <span className="soft timeline-told">
          {told === undefined
            ? "Drag over the strip to choose a stretch; Ctrl and wheel zoom."
            : `${model.columns.names[told]} · ${formatDuration(model.columns.durationsMs[told])} · ${formatUsd(model.columns.costsUsd[told])}`}
        </span>
      </div>
      <Brush canvas={overview} width={size.width} view={view} totalMs={totalMs} onView={setView} />
      {/* An application takes pointers and keys itself. */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions */}
      <div
        ref={scroller}
        className="timeline-scroll"
        tabIndex={0}
        role="application"
        aria-roledescription="timeline"
        aria-label={
          selected < 0
            ? `Timeline of ${model.size} steps. Arrows go from step to step.`
            : `${model.columns.names[selected]}, ${model.columns.statuses[selected]}, starts at ${formatDuration(model.columns.startsMs[selected])}, takes ${formatDuration(model.columns.durationsMs[selected])}`
        }
        onKeyDown={onKeyDown}
        onScroll={(event) => setScrollTop(event.currentTarget.scrollTop)}
        onPointerMove={(event) => setHover(spanAt(event))}
        onPointerLeave={() => setHover(undefined)}
        onClick={(event) => {
          const index = spanAt(event as unknown as PointerEvent<HTMLElement>);
          if (index !== undefined) onSelect(model.columns.spanIds[index]!);
        }}
        data-hover={hover === undefined ? undefined : ""}
      >
        <div className="timeline-lanes" style={{ height: Math.max(timeline.num_lanes, lanes.count) * LANE_PX }}>
          <canvas ref={canvas} className="timeline-canvas" aria-hidden="true" />
        </div>
      </div>
    </div>
  );
}

/** What the trace waited for, in shares: the critical path in words. */
function CriticalShares({ model, timeline }: { readonly model: TraceModel; readonly timeline: TraceTimeline }) {
  const shares = useMemo(() => {
    const sums = new Map<string, number>();
    for (const segment of timeline.critical_path) {
      const kind = segment.index < 0 ? "nothing" : model.columns.kinds[segment.index];
      const name = kind === "model_call" ? "models" : kind === "tool_call" ? "tools" : kind === "nothing" ? kind : "OpenClaw itself";
      sums.set(name, (sums.get(name) ?? 0) + segment.duration_us);
    }
    return [...sums].sort((left, right) => right[1] - left[1]);
  }, [model, timeline]);
  if (timeline.duration_us === 0) return null;
  return (
    <span>
      Waited for {shares.map(([name, us]) => `${name} ${formatShare(us / timeline.duration_us)}`).join(", ")}
    </span>
  );
}

interface BrushProps {
  readonly canvas: React.RefObject<HTMLCanvasElement | null>;
  readonly width: number;
  readonly view: TimeView;
  readonly totalMs: number;
  readonly onView: (view: TimeView) => void;
}

/** The strip with the whole trace; dragging over it chooses what the lanes show. */
function Brush({ canvas, width, view, totalMs, onView }: BrushProps) {
  const began = useRef<number>(undefined);
  const msAt = (event: PointerEvent<HTMLElement>) => {
    const bounds = event.currentTarget.getBoundingClientRect();
    return (Math.min(Math.max(0, event.clientX - bounds.left), bounds.width) / Math.max(1, bounds.width)) * totalMs;
  };
  return (
    <div
      className="timeline-brush"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        began.current = msAt(event);
      }}
      onPointerMove={(event) => {
        if (began.current === undefined) return;
        const now = msAt(event);
        const [fromMs, toMs] = now < began.current ? [now, began.current] : [began.current, now];
        // A stretch of less than four pixels is a click.
        if (((toMs - fromMs) / totalMs) * width > 4) onView(clampView({ fromMs, toMs }, totalMs));
      }}
      onPointerUp={(event) => {
        const at = msAt(event);
        if (began.current !== undefined && (Math.abs(at - began.current) / totalMs) * width <= 4) {
          const half = (view.toMs - view.fromMs) / 2;
          onView(clampView({ fromMs: at - half, toMs: at + half }, totalMs));
        }
        began.current = undefined;
      }}
    >
      <canvas ref={canvas} aria-hidden="true" />
    </div>
  );
}

function endsOf(model: TraceModel, totalMs: number): Float64Array {
  const { startsMs, durationsMs } = model.columns;
  const ends = new Float64Array(model.size);
  for (let index = 0; index < model.size; index += 1) {
    const duration = durationsMs[index];
    ends[index] = duration === null || duration === undefined ? totalMs : startsMs[index]! + duration;
  }
  return ends;
}

function useSize(element: React.RefObject<HTMLElement | null>): { width: number; height: number } {
  const [size, setSize] = useState({ width: 0, height: 0 });
  useEffect(() => {
    const box = element.current;
    if (box === null) return;
    const observer = new ResizeObserver(() => setSize({ width: box.clientWidth, height: box.clientHeight }));
    observer.observe(box);
    return () => observer.disconnect();
  }, [element]);
  return size;
}
