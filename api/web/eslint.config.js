/**
 * What the linter holds the TypeScript of the pages and of their tests to.
 *
 * Upstream: `make check-web`.
 * Downstream: nothing; it changes no file.
 * Guarantee: a warning is an error; a rule that does not fit is set here with its reason; a line that does not fit says why.
 */
import a11y from "eslint-plugin-jsx-a11y";
import hooks from "eslint-plugin-react-hooks";
import { defineConfig } from "eslint/config";
import { configs } from "typescript-eslint";

export default defineConfig(
  { ignores: ["dist/", "test-results/", "browser/", "src/api/schema.d.ts", "eslint.config.js"] },
  {
    files: ["**/*.{ts,tsx}"],
    extends: [configs.strictTypeChecked],
    languageOptions: { parserOptions: { project: ["tsconfig.json", "tests/tsconfig.json"], tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      // An index that was just computed from the array is not looked at twice; noUncheckedIndexedAccess asks for the sign.
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    },
  },
  {
    files: ["src/**/*.{ts,tsx}"],
    extends: [hooks.configs.flat.recommended, a11y.flatConfigs.strict],
    rules: {
      // What scrolls must be reached by keys.
      "jsx-a11y/no-noninteractive-tabindex": ["error", { roles: ["region", "tabpanel", "log", "application"] }],
      // Keys are also taken where they bubble to: Escape in a panel, zoom in a picture. Clicks have no such excuse.
      "jsx-a11y/no-noninteractive-element-interactions": ["error", { handlers: ["onClick", "onMouseDown", "onMouseUp"] }],
      "jsx-a11y/no-static-element-interactions": ["error", { handlers: ["onClick", "onMouseDown", "onMouseUp"] }],
      // There is no compiler here that would leave a component out.
      "react-hooks/incompatible-library": "off",
    },
  },
);
