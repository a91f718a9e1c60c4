/* One message on the page: its text, what is known about it, what can be done with it. Cloned from index.html. */
import { render } from './markdown.js';

/* Three digits say enough. */
const number = (x) => x.toLocaleString('en', { maximumFractionDigits: x < 100 ? 1 : 0 });
const counted = (n, what) => `${number(n)} ${what}${n === 1 ? '' : 's'}`;

/* "42 tokens · 210 tokens/s · first after 18 ms · 31 prompt tokens". `stats`: { tokens, prompt, firstMs, lastMs },
 * milliseconds since the request was sent. What is missing is left out, and so is a speed over too short a time to
 * mean anything (the network brought all at once). */
export function statsText({ tokens, prompt, firstMs, lastMs, finish }) {
  const seconds = (lastMs - firstMs) / 1000;
  return [
    tokens && counted(tokens, 'token'),
    tokens > 1 && seconds > 0.01 && `${number((tokens - 1) / seconds)} tokens/s`,
    firstMs !== undefined && `first after ${number(Math.round(firstMs))} ms`,
    prompt && counted(prompt, 'prompt token'),
    { length: 'cut at the limit', stopped: 'stopped', empty: 'the model had nothing to say' }[finish],
  ]
    .filter(Boolean)
    .join(' · ');
}

export class Turn {
  /* role: 'user' | 'assistant'. */
  constructor(role, content = '') {
    const template = document.getElementById(`turn-${role}`);
    this.node = template.content.firstElementChild.cloneNode(true);
    this.role = role;
    this.text = this.node.querySelector('.text');
    this.plain = role === 'user';
    this.content = content;
    this.show();
  }

  /* Markdown is for conversations; a text that goes on is shown as it is. */
  show() {
    this.text.classList.toggle('plain', this.plain);
    if (this.plain) this.text.textContent = this.content;
    else render(this.text, this.content);
  }

  set busy(is) {
    this.node.setAttribute('aria-busy', String(is));
  }

  set stats(stats) {
    this.node.querySelector('.stats').textContent = statsText(stats);
  }

  /* Only the last message of each kind offers what changes the conversation's end. */
  allow(...actions) {
    for (const button of this.node.querySelectorAll('[data-action]'))
      button.hidden = !actions.includes(button.dataset.action);
  }

  /* A sentence below the text, with a button when something can be done; NULL takes it away. */
  notice(sentence, label, act) {
    this.node.querySelector('.notice')?.remove();
    if (!sentence) return;
    const notice = document.createElement('p');
    notice.className = 'notice';
    notice.setAttribute('role', 'alert');
    notice.append(Object.assign(document.createElement('span'), { textContent: sentence }));
    if (label) {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = label;
      button.addEventListener('click', act);
      notice.append(button);
    }
    this.text.after(notice);
  }
}
