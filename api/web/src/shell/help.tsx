/**
 * The keys, told.
 *
 * Upstream: `?` on any page.
 * Downstream: people.
 * Guarantee: lists what `shell` and `tree_keys` do.
 */
import { Dialog } from "../kit/dialog";

const GROUPS: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
  [
    "Everywhere",
    [
      ["?", "This help"],
      ["/", "Search on this page, or in all runs"],
      ["j k", "Next and previous line of a list"],
      ["t", "Ask Tracy, or close her panel"],
      ["g o", "Overview"],
      ["g a", "Agents"],
      ["g t", "Traces"],
      ["g l", "Alerts"],
      ["g s", "SQL"],
      ["g e", "Settings"],
      ["g g", "Get started"],
    ],
  ],
  [
    "In a trace",
    [
      ["↑ ↓, k j", "Previous and next row"],
      ["← →", "Close and open, or to the parent and the first child"],
      ["Home, End", "First and last row"],
      ["*", "Open all of this level"],
      ["Enter", "Details of the step"],
      ["Esc", "Close the details"],
    ],
  ],
  [
    "In a timeline or graph",
    [
      ["+ −", "Closer and farther"],
      ["← →", "Previous and next step"],
      ["0", "All of it"],
    ],
  ],
];

export function Help({ isOpen, onClose }: { readonly isOpen: boolean; readonly onClose: () => void }) {
  return (
    <Dialog title="Keys" isOpen={isOpen} onClose={onClose}>
      {GROUPS.map(([name, keys]) => (
        <section key={name} className="help-group">
          <h3>{name}</h3>
          <dl>
            {keys.map(([key, meaning]) => (
              <div key={key}>
                <dt>
                  <kbd>{key}</kbd>
                </dt>
                <dd>{meaning}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
    </Dialog>
  );
}
