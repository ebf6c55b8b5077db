/**
 * Where the application begins in the browser.
 *
 * Upstream: index.html.
 * Downstream: `app`.
 * Guarantee: the theme is on the page before anything is painted.
 */
import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter } from "react-router";

import { makeQueryClient } from "./api/queries";
import { App } from "./app";
import { applyTheme } from "./kit/theme";
import "./styles/theme.css";
import "./styles/base.css";
import "./styles/parts.css";

applyTheme();
const root = document.getElementById("root");
if (root !== null) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={makeQueryClient()}>
        <BrowserRouter>
          <App />
        </BrowserRouter>
      </QueryClientProvider>
    </StrictMode>,
  );
}
