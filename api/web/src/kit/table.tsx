/**
 * A table in a box that scrolls by itself, so that a page never scrolls sideways.
 *
 * Upstream: the rows of a page.
 * Downstream: every list that is a table.
 * Guarantee: the box is reached by keys, named for screen readers, and each column has its head.
 */
import type { ReactNode } from "react";

/** The head of a column: its name, or more where it holds numbers or nothing to read. */
export type Column = string | { readonly name: string; readonly isNumber?: boolean; readonly isHidden?: boolean; readonly title?: string };

export interface TableProps {
  readonly label: string;
  readonly columns: readonly Column[];
  readonly caption?: string;
  readonly className?: string;
  readonly children: ReactNode;
}

export function Table({ label, columns, caption = label, className = "", children }: TableProps) {
  return (
    <TableBox label={label} caption={caption} className={className}>
      <thead>
        <tr>
          {columns.map((column, at) => {
            const { name, isNumber = false, isHidden = false, title } = typeof column === "string" ? { name: column } : column;
            return (
              <th key={at} scope="col" className={isNumber ? "num" : undefined} title={title}>
                {isHidden ? <span className="visually-hidden">{name}</span> : name}
              </th>
            );
          })}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </TableBox>
  );
}

/** The box alone, for heads that are more than names. */
export function TableBox({ label, caption = label, className = "", children }: Omit<TableProps, "columns">) {
  return (
    <div className={`table-box ${className}`} tabIndex={0} role="region" aria-label={label}>
      <table className="table">
        <caption className="visually-hidden">{caption}</caption>
        {children}
      </table>
    </div>
  );
}

/** Columns of numbers. */
export const numbers = (...names: readonly string[]): Column[] => names.map((name) => ({ name, isNumber: true }));
