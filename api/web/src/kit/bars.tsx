/**
 * A few bars, without a chart library: what the first page needs.
 *
 * Upstream: names and values.
 * Downstream: the overview.
 * Guarantee: every bar is told to screen readers in a table that is not seen.
 */
import "./bars.css";

interface BarsProps {
  readonly label: string;
  readonly places: readonly string[];
  readonly values: readonly number[];
  readonly format: (value: number) => string;
}

export function Bars({ label, places, values, format }: BarsProps) {
  const most = Math.max(...values, 1);
  return (
    <figure className="bars">
      <div className="bars-row" aria-hidden="true">
        {values.map((value, at) => (
          <div key={places[at]} className="bar-place" title={`${places[at]}: ${format(value)}`}>
            <span className="bar-value">{value === 0 ? "" : format(value)}</span>
            <div className="bar" style={{ height: `${(value / most) * 100}%` }} data-empty={value === 0 || undefined} />
            <span className="bar-name">{at % 3 === 0 ? places[at] : ""}</span>
          </div>
        ))}
      </div>
      <table className="visually-hidden">
        <caption>{label}</caption>
        <tbody>
          {values.map((value, at) => (
            <tr key={places[at]}>
              <th scope="row">{places[at]}</th>
              <td>{format(value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  );
}
