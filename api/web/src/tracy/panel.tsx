export default function X(_: { readonly onClose: () => void }) { return null; }
