/**
 * A dialog over the page, by the browser's own element: focus stays inside and comes back afterwards.
 *
 * Upstream: whether it is open.
 * Downstream: help, keys that are shown once, questions before something is taken away.
 * Guarantee: Escape and a click beside it close it.
 */
import { type ReactNode, useEffect, useId, useRef } from "react";

import { Failed } from "./states";

interface DialogProps {
  readonly title: string;
  readonly isOpen: boolean;
  readonly onClose: () => void;
  readonly isWide?: boolean;
  readonly children: ReactNode;
}

export function Dialog({ title, isOpen, onClose, isWide = false, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = element.current;
    if (dialog === null) return;
    if (isOpen && !dialog.open) dialog.showModal();
    else if (!isOpen && dialog.open) dialog.close();
  }, [isOpen]);
  return (
    // Keys have Escape and the button; the click beside it is for pointers alone.
    // eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/no-noninteractive-element-interactions
    <dialog
      ref={element}
      className={isWide ? "dialog dialog-wide" : "dialog"}
      aria-labelledby={id}
      onCancel={(event) => {
        // Closed by our own state, so that a key right behind Escape finds it closed already.
        if (event.target !== element.current) return;
        event.preventDefault();
        onClose();
      }}
      onClose={() => {
        // Told late: by then a key may have opened it again.
        if (element.current?.open !== true) onClose();
      }}
      onClick={(event) => {
        if (event.target === element.current) onClose();
      }}
    >
      <div className="dialog-body">
        <header className="dialog-head">
          <h2 id={id}>{title}</h2>
          <button type="button" className="button button-quiet" onClick={onClose} aria-label="Close">
            ✕
          </button>
        </header>
        {isOpen && children}
      </div>
    </dialog>
  );
}

interface ConfirmProps {
  readonly title: string;
  readonly act: string;
  readonly isOpen: boolean;
  readonly isPending: boolean;
  readonly error: unknown;
  readonly onConfirm: () => void;
  readonly onClose: () => void;
  readonly children: ReactNode;
}

/** The question before something is taken away. */
export function Confirm({ title, act, isOpen, isPending, error, onConfirm, onClose, children }: ConfirmProps) {
  return (
    <Dialog title={title} isOpen={isOpen} onClose={onClose}>
      <p>{children}</p>
      {error !== null && <Failed error={error} />}
      <p className="dialog-actions">
        <button type="button" className="button button-danger" disabled={isPending} onClick={onConfirm}>
          {act}
        </button>
        <button type="button" className="button" onClick={onClose}>
          Keep it
        </button>
      </p>
    </Dialog>
  );
}
