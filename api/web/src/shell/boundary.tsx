/**
 * Catches what a page could not: a fault of ours, or a part of the pages that is gone after an update.
 *
 * Upstream: a page.
 * Downstream: a sentence and a way on.
 * Guarantee: the navigation stays usable.
 */
import { Component, type ReactNode } from "react";

import { Failed } from "../kit/states";

interface BoundaryState {
  readonly error: unknown;
}

export class Boundary extends Component<{ readonly children: ReactNode }, BoundaryState> {
  override state: BoundaryState = { error: undefined };

  static getDerivedStateFromError(error: unknown): BoundaryState {
    return { error };
  }

  override render(): ReactNode {
    if (this.state.error === undefined) return this.props.children;
    return (
      <div className="page">
        <h1>This page broke</h1>
        <Failed error={this.state.error} onRetry={() => location.reload()} />
      </div>
    );
  }
}
