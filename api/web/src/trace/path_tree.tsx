/**
 * The execution path: every span as a row of a tree grid, of which only those in sight are in the document.
 *
 * Upstream: a `TraceModel`; which span is selected.
 * Downstream: the trace page opens the step detail.
 * Guarantee: arrows, Home, End, page keys, j, k and * work; screen readers are told level, position and number; never
 * more than some dozens of rows exist, whatever the size of the trace.
 */
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, memo, useCallback, useEffect, useMemo, useRef, useState } from "react";

import { formatCount, formatDuration, formatTokens, formatUsd, UNKNOWN } from "../kit/format";
import type { TraceModel } from "./model";
import { moveFor } from "./tree_keys";
import "./path_tree.css";

const ROW_PX = 28;
const MAX_INDENT = 24;

interface PathTreeProps {
  readonly model: TraceModel;
  readonly selectedId: string | undefined;
  readonly onSelect: (spanId: string) => void;
}

export function PathTree({ model, selectedId, onSelect }: PathTreeProps) {
  const [collapsed, setCollapsed] = useState<ReadonlySet<number>>(new Set());
  const [cursor, setCursor] = useState(0);
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useMemo(() => model.visible(collapsed), [model, collapsed]);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 6,
    useFlushSync: false,
  });

  const selected = selectedId === undefined ? -1 : model.indexOf(selectedId);
  useEffect(() => {
    if (selected < 0) return;
    // What is selected from elsewhere (a link, another view) must come into sight: open its ancestors.
    const hidden = [...model.ancestors(selected)].filter((index) => collapsed.has(index));
    if (hidden.length > 0) {
      setCollapsed((before) => new Set([...before].filter((index) => !hidden.includes(index))));
      return;
    }
    const row = rows.indexOf(selected);
    if (row >= 0) {
      setCursor(row);
      virtual.scrollToIndex(row, { align: "auto" });
    }
    // Only when another span is selected or its row appears, not whenever something is collapsed by hand.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [selected, model]);

  const toggle = useCallback(
    (index: number, hide: boolean) =>
      setCollapsed((before) => {
        const next = new Set(before);
        if (hide) next.add(index);
        else next.delete(index);
        return next;
      }),
    [],
  );
  const select = useRef(onSelect);
  select.current = onSelect;
  const open = useCallback((spanId: string, row: number) => {
    setCursor(row);
    select.current(spanId);
  }, []);

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const pageRows = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / ROW_PX) - 1);
    const move = moveFor(event.key, { model, rows, collapsed, row: cursor, pageRows });
    if (move === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    if (move.kind === "go") {
      setCursor(move.row);
      virtual.scrollToIndex(move.row, { align: "auto" });
    } else if (move.kind === "open") onSelect(model.columns.spanIds[move.index]!);
    else if (move.kind === "expand-siblings") {
      const parent = model.parentOf(move.index);
      const level = parent < 0 ? model.tops : [...model.children(parent)];
      setCollapsed((before) => new Set([...before].filter((index) => !level.includes(index))));
    } else toggle(move.index, move.kind === "collapse");
  };

  const subAgents = useMemo(() => subAgentsOf(model), [model]);
  const isShut = subAgents.length > 0 && subAgents.every((index) => collapsed.has(index));
  const shut = useCallback(() => setCollapsed(isShut ? new Set() : new Set(subAgents)), [isShut, subAgents]);
  const active = rows[cursor];
  const items = virtual.getVirtualItems();
  return (
    <div className="path-view">
    <PathTools
      model={model}
      selectedId={selectedId}
      onSelect={onSelect}
      numSubAgents={subAgents.length}
      isShut={isShut}
      onShut={shut}
    />
    <div className="path-head soft" aria-hidden="true">
      <span>Step</span>
      <span className="num">Duration</span>
      <span className="num">Tokens</span>
      <span className="num">Cost</span>
    </div>
    <div
      ref={scroller}
      className="path-tree"
      role="treegrid"
      aria-label="Execution path"
      aria-rowcount={rows.length}
      aria-activedescendant={active === undefined ? undefined : rowId(active)}
      tabIndex={0}
      onKeyDown={onKeyDown}
    >
      <div role="rowgroup" className="path-tree-rows" style={{ height: virtual.getTotalSize() }}>
        {items.map((item) => {
          const index = rows[item.index]!;
          return (
            <PathRow
              // By place and not by span: rows that leave become the rows that come, which costs half of making them.
              key={item.index % items.length}
              model={model}
              index={index}
              rowNumber={item.index}
              top={item.start}
              isCollapsed={collapsed.has(index)}
              isActive={item.index === cursor}
              isSelected={index === selected}
              onToggle={toggle}
              onOpen={open}
            />
          );
        })}
      </div>
    </div>
    </div>
  );
}

/** Runs below other runs. */
function subAgentsOf(model: TraceModel): number[] {
  const found: number[] = [];
  for (let index = 0; index < model.size; index += 1) {
    if (model.columns.kinds[index] === "run" && model.depths[index]! > 0 && model.hasChildren(index)) found.push(index);
  }
  return found;
}

interface PathToolsProps {
  readonly model: TraceModel;
  readonly selectedId: string | undefined;
  readonly onSelect: (spanId: string) => void;
  readonly numSubAgents: number;
  readonly isShut: boolean;
  readonly onShut: () => void;
}

/** Search within the trace, the next failed step, sub-agents open or closed. */
const PathTools = memo(function PathTools({ model, selectedId, onSelect, numSubAgents, isShut, onShut }: PathToolsProps) {
  const [wanted, setWanted] = useState("");
  const order = useMemo(() => model.visible(new Set()), [model]);
  const matches = useMemo(() => {
    const text = wanted.trim().toLowerCase();
    if (text === "") return [];
    const { names, statuses, kinds, flags } = model.columns;
    return [...order.filter(
      (index) =>
        names[index]!.toLowerCase().includes(text) ||
        statuses[index] === text ||
        kinds[index] === text ||
        flags[index]!.some((flag) => flag.replaceAll("_", " ").includes(text)),
    )];
  }, [wanted, model, order]);
  const failed = useMemo(
    () => [...order.filter((index) => ["error", "blocked"].includes(model.columns.statuses[index]!))],
    [model, order],
  );
  const goTo = (among: readonly number[]) => {
    const at = selectedId === undefined ? -1 : among.indexOf(model.indexOf(selectedId));
    const next = among[(at + 1) % among.length];
    if (next !== undefined) onSelect(model.columns.spanIds[next]!);
  };
  return (
    <div className="path-tools">
      <input
        className="input"
        type="search"
        aria-label="Search the steps"
        placeholder="Search the steps"
        data-search
        value={wanted}
        onChange={(event) => setWanted(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") goTo(matches);
        }}
      />
      {wanted.trim() !== "" && (
        <span className="soft" role="status">
          {formatCount(matches.length)} {matches.length === 1 ? "step" : "steps"}; Enter goes to the next
        </span>
      )}
      {failed.length > 0 && (
        <button type="button" className="button button-small" onClick={() => goTo(failed)}>
          Next of {formatCount(failed.length)} failed
        </button>
      )}
      {numSubAgents > 0 && (
        <button type="button" className="button button-small" aria-pressed={isShut} onClick={onShut}>
          Sub-agents as one row
        </button>
      )}
    </div>
  );
});

interface PathRowProps {
  readonly model: TraceModel;
  readonly index: number;
  readonly rowNumber: number;
  readonly top: number;
  readonly isCollapsed: boolean;
  readonly isActive: boolean;
  readonly isSelected: boolean;
  readonly onToggle: (index: number, hide: boolean) => void;
  readonly onOpen: (spanId: string, row: number) => void;
}

const PathRow = memo(function PathRow(props: PathRowProps) {
  const { model, index, isCollapsed, isActive, isSelected } = props;
  const { columns } = model;
  const hasChildren = model.hasChildren(index);
  const depth = model.depths[index]!;
  const status = columns.statuses[index]!;
  const kind = columns.kinds[index]!;
  return (
    // The grid has the focus and the keys, and names the active row; a click is for pointers alone.
    // eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus
    <div
      id={rowId(index)}
      role="row"
      className="path-row"
      aria-level={depth + 1}
      aria-rowindex={props.rowNumber + 1}
      aria-expanded={hasChildren ? !isCollapsed : undefined}
      aria-selected={isSelected}
      data-active={isActive || undefined}
      data-kind={kind}
      data-status={status}
      style={{ transform: `translateY(${props.top}px)` }}
      onClick={() => props.onOpen(columns.spanIds[index]!, props.rowNumber)}
    >
      <div role="gridcell" className="path-name" style={{ paddingLeft: 8 + 16 * Math.min(depth, MAX_INDENT) }}>
        <span
          className="path-twist"
          aria-hidden="true"
          data-open={hasChildren ? !isCollapsed : undefined}
          onClick={(event) => {
            event.stopPropagation();
            if (hasChildren) props.onToggle(index, !isCollapsed);
          }}
        >
          {hasChildren ? "▸" : ""}
        </span>
        {depth > MAX_INDENT && <span className="path-depth">{depth}</span>}
        <span className="path-kind" aria-hidden="true" />
        <span className="path-label">{columns.names[index]}</span>
        {status !== "ok" && <span className={`badge badge-${status}`}>{status}</span>}
        {isCollapsed && model.hasErrorBelow[index] === 1 && <span className="badge badge-error">error below</span>}
        {columns.flags[index]!.map((flag) => (
          <span key={flag} className="badge badge-flag">
            {flag.replaceAll("_", " ")}
          </span>
        ))}
        {isCollapsed && <span className="soft">+{model.numBelow[index]}</span>}
      </div>
      <div role="gridcell" className="num">
        {formatDuration(columns.durationsMs[index])}
      </div>
      <div role="gridcell" className="num">
        {formatTokens(hasChildren ? model.totalTokens[index] : columns.tokens[index]).replace(UNKNOWN, "")}
      </div>
      <div role="gridcell" className="num">
        {costText(model, index, hasChildren)}
      </div>
    </div>
  );
});

/** A dash where a price is unknown, nothing where there is nothing to pay for. */
function costText(model: TraceModel, index: number, hasChildren: boolean): string {
  const { columns } = model;
  if (hasChildren) return formatUsd(model.totalUsd[index]);
  return columns.costsUsd[index] === null && columns.kinds[index] !== "model_call" ? "" : formatUsd(columns.costsUsd[index]);
}

function rowId(index: number): string {
  return `path-row-${index}`;
}
