/**
 * Sign in with an access key.
 *
 * Upstream: a key that `clawtrace keys create` made.
 * Downstream: the session's cookie, which no script sees.
 * Guarantee: the key is sent once and kept nowhere.
 */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, read } from "../api/client";
import { sessionQuery } from "../api/queries";
import { Form } from "../kit/form";
import "./login.css";

export function Login() {
  const client = useQueryClient();
  const [key, setKey] = useState("");
  const signIn = useMutation({
    mutationFn: (wanted: string) => read(api.POST("/v1/session", { body: { key: wanted } })),
    onSuccess: (session) => {
      setKey("");
      client.setQueryData(sessionQuery.queryKey, session);
    },
  });
  return (
    <main className="login">
      <Form className="card login-card" onSend={() => key.trim() !== "" && signIn.mutate(key.trim())}>
        <img src="/icon.svg" alt="" width={40} height={40} />
        <h1>ClawTrace</h1>
        <p className="soft">Every run of your OpenClaw agents: what it did, and what it cost.</p>
        <label htmlFor="key">Access key</label>
        <input
          id="key"
          className="input"
          type="password"
          autoComplete="current-password"
          spellCheck={false}
          required
          placeholder="ct_read_…"
          aria-describedby="key-help"
          aria-invalid={signIn.isError}
          value={key}
          onChange={(event) => setKey(event.target.value)}
        />
        {signIn.isError && (
          <p className="field-error" role="alert">
            {signIn.error.message}
          </p>
        )}
        <button type="submit" className="button button-main" disabled={signIn.isPending}>
          {signIn.isPending ? "Signing in …" : "Sign in"}
        </button>
        <p id="key-help" className="soft">
          A key for reading is made with <code>clawtrace keys create --tenant … --scope read</code>.
        </p>
      </Form>
    </main>
  );
}
