/** Text to copy, and SQL with its words told apart. */

import { useState } from 'preact/hooks';
import { Icon } from './Icon';

export function CopyButton({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without permission, or on plain http to another machine: the older way.
      const area = document.createElement('textarea');
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand('copy');
      area.remove();
    }
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <button type="button" class="copy" aria-label={done ? 'Copied' : label} title={done ? 'Copied' : label} onClick={copy}>
      <Icon name={done ? 'check' : 'copy'} />
    </button>
  );
}

export function Code({ text, label }: { text: string; label: string }) {
  return (
    <div class="code">
      <pre tabIndex={0} aria-label={label}>
        {text}
      </pre>
      <CopyButton text={text} label={`Copy ${label}`} />
    </div>
  );
}

const WORDS =
  /^(select|from|stream|with|as|where|group|by|and|or|not|in|is|null|create|streaming|table|materialized|view|temporary|flow|insert|into|name|using|watermark|delay|of|interval|minutes?|hours?|seconds?|days?|case|when|then|else|end|join|left|inner|on|union|all|distinct|having|limit|order|between|like|tblproperties|comment|partitioned|set|if|exists|cast|lateral|explode|true|false)$/i;

/** SQL, coloured; nothing in it is markup. */
export function Sql({ text }: { text: string }) {
  const parts = text.match(/--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'|`[^`]*`|"[^"]*"|\b\d+(?:\.\d+)?\b|[A-Za-z_]\w*|\s+|[\s\S]/g) ?? [];
  return (
    <div class="code">
      <pre tabIndex={0} aria-label="SQL">
        {parts.map((part, i) => {
          const kind = /^(--|\/\*)/.test(part) ? 'note' : /^'/.test(part) ? 'string' : /^\d/.test(part) ? 'number' : WORDS.test(part) ? 'word' : '';
          return kind ? (
            <span key={i} class={`sql-${kind}`}>
              {part}
            </span>
          ) : (
            part
          );
        })}
      </pre>
      <CopyButton text={text} label="Copy SQL" />
    </div>
  );
}
