// <tallyport-confirmation api="https://gate.example" token="..."></tallyport-confirmation>
//
// Shows a customer what an action adds to the bill, and sends the answer. One script, no dependencies, no requests but to
// `api`. The token is bound to one confirmation and works once. The element tells by events what became of it:
//
//   tallyport-decided   detail: {decision: "allowed" | "declined"}
//   tallyport-closed    somebody closed the dialog without an answer; nothing is decided
//   tallyport-error     detail: {message}; the gate knows whether anything was decided
//
// Colours, fonts and measures are custom properties (--tallyport-...), its parts have names (::part(confirm)).
// See docs/gate-dialog.md.

const WORDS = {
  en: {
    title: "Please confirm", confirm: "Confirm", decline: "Decline", close: "Close", retry: "Try again",
    added: "This adds to your bill", unknown: "What this costs cannot be computed", perPeriod: "per billing period",
    plan: "Plan", quantity: "Quantity", price: "Price", difference: "Difference", until: "Valid until",
    loading: "One moment …", sending: "Sending your answer …", allowed: "Confirmed. Thank you.",
    declined: "Declined. Nothing will be changed.", moved: "The price has changed meanwhile. Please look again.",
    gone: "This question is closed.", failed: "This did not work. Please look again.",
  },
  de: {
    title: "Bitte bestätigen", confirm: "Bestätigen", decline: "Ablehnen", close: "Schließen", retry: "Noch einmal",
    added: "Ihre Rechnung erhöht sich um", unknown: "Was das kostet, lässt sich nicht berechnen",
    perPeriod: "je Abrechnungszeitraum", plan: "Tarif", quantity: "Menge", price: "Preis", difference: "Unterschied",
    until: "Gültig bis", loading: "Einen Moment …", sending: "Ihre Antwort wird gesendet …",
    allowed: "Bestätigt. Vielen Dank.", declined: "Abgelehnt. Es wird nichts geändert.",
    moved: "Der Preis hat sich inzwischen geändert. Bitte sehen Sie ihn sich noch einmal an.",
    gone: "Diese Frage ist erledigt.", failed: "Das hat nicht geklappt. Bitte sehen Sie noch einmal nach.",
  },
  fr: {
    title: "Veuillez confirmer", confirm: "Confirmer", decline: "Refuser", close: "Fermer", retry: "Réessayer",
    added: "Votre facture augmente de", unknown: "Le coût ne peut pas être calculé",
    perPeriod: "par période de facturation", plan: "Offre", quantity: "Quantité", price: "Prix",
    difference: "Différence", until: "Valable jusqu’au", loading: "Un instant …", sending: "Envoi de votre réponse …",
    allowed: "Confirmé. Merci.", declined: "Refusé. Rien ne sera modifié.",
    moved: "Le prix a changé entre-temps. Veuillez vérifier à nouveau.", gone: "Cette question est close.",
    failed: "Cela n’a pas fonctionné. Veuillez vérifier à nouveau.",
  },
  es: {
    title: "Confirme, por favor", confirm: "Confirmar", decline: "Rechazar", close: "Cerrar", retry: "Reintentar",
    added: "Su factura aumenta en", unknown: "No se puede calcular el coste", perPeriod: "por período de facturación",
    plan: "Plan", quantity: "Cantidad", price: "Precio", difference: "Diferencia", until: "Válido hasta",
    loading: "Un momento …", sending: "Enviando su respuesta …", allowed: "Confirmado. Gracias.",
    declined: "Rechazado. No se cambiará nada.", moved: "El precio ha cambiado. Revíselo de nuevo, por favor.",
    gone: "Esta pregunta está cerrada.", failed: "No ha funcionado. Revíselo de nuevo, por favor.",
  },
  ar: {
    title: "يرجى التأكيد", confirm: "تأكيد", decline: "رفض", close: "إغلاق", retry: "إعادة المحاولة",
    added: "تزداد فاتورتك بمقدار", unknown: "لا يمكن حساب التكلفة", perPeriod: "لكل فترة فوترة", plan: "الخطة",
    quantity: "الكمية", price: "السعر", difference: "الفرق", until: "صالح حتى", loading: "لحظة …",
    sending: "جارٍ إرسال إجابتك …", allowed: "تم التأكيد. شكرًا لك.", declined: "تم الرفض. لن يتغير شيء.",
    moved: "تغيّر السعر في هذه الأثناء. يرجى المراجعة مرة أخرى.", gone: "هذا السؤال مغلق.",
    failed: "لم ينجح ذلك. يرجى المراجعة مرة أخرى.",
  },
};
const RIGHT_TO_LEFT = new Set(["ar", "fa", "he", "ur"]);
// What a message may be made of. The server sends nothing else; should it ever, nothing else gets in.
const ELEMENTS = new Set(["P", "STRONG", "EM", "UL", "OL", "LI", "BR", "CODE", "BLOCKQUOTE", "BDI"]);
const ANSWER_MILLISECONDS = 20_000;
const STYLE = `
  dialog { box-sizing: border-box; max-width: min(var(--tallyport-width, 34rem), calc(100vw - 2rem));
    color: var(--tallyport-colour, CanvasText); background: var(--tallyport-background, Canvas);
    font: var(--tallyport-font, 1rem/1.5 system-ui, sans-serif); padding: var(--tallyport-padding, 1.5rem);
    border: var(--tallyport-border, 1px solid GrayText); border-radius: var(--tallyport-radius, .5rem); }
  dialog::backdrop { background: var(--tallyport-backdrop, rgb(0 0 0 / 50%)); }
  h2 { margin: 0 0 .75rem; font-size: 1.25em; }
  table { border-collapse: collapse; width: 100%; margin-block: .75rem; }
  th, td { text-align: start; padding: .25rem .5rem; border-block-end: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
  .number { text-align: end; font-variant-numeric: tabular-nums; }
  .sum { font-size: 1.15em; font-weight: 600; margin-block: .5rem; }
  .notice { border-inline-start: .25rem solid var(--tallyport-accent, Highlight); padding-inline-start: .75rem; }
  .notice:empty, [hidden] { display: none; }
  footer { display: flex; flex-wrap: wrap; gap: .75rem; justify-content: flex-end; margin-block-start: 1.25rem; }
  button { font: inherit; padding: .5rem 1rem; min-height: 2.75rem; border-radius: inherit; cursor: pointer;
    border: 1px solid currentColor; background: transparent; color: inherit; border-radius: var(--tallyport-radius, .5rem); }
  button.confirm { background: var(--tallyport-accent, Highlight); color: var(--tallyport-accent-text, HighlightText);
    border-color: transparent; }
  button:focus-visible { outline: 3px solid var(--tallyport-focus, Highlight); outline-offset: 2px; }
  button:disabled { opacity: .5; cursor: default; }
`;

/** A new element with its text and attributes. */
function element(name, { text = "", children = [], ...attributes } = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

/** The message with nothing but harmless elements, without attributes. */
function harmless(html) {
  const copy = (from, to) => {
    for (const node of from.childNodes) {
      if (node.nodeType === Node.TEXT_NODE) to.append(node.data);
      else if (node.nodeType === Node.ELEMENT_NODE && ELEMENTS.has(node.nodeName)) {
        copy(node, to.appendChild(document.createElement(node.nodeName)));
      }
    }
    return to;
  };
  // A document made by the parser runs no scripts and loads nothing.
  return copy(new DOMParser().parseFromString(html, "text/html").body, document.createDocumentFragment());
}

class TallyportConfirmation extends HTMLElement {
  #dialog = element("dialog", { part: "dialog", "aria-labelledby": "title", "aria-describedby": "message" });
  #question = null;
  #answered = false;
  #words = WORDS.en;

  connectedCallback() {
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet(); // not a style element: a page's content security policy has nothing against it
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    root.replaceChildren(this.#dialog);
    this.#dialog.addEventListener("close", () => {
      if (!this.#answered) this.#tell("tallyport-closed");
    });
    this.#speak(this.getAttribute("lang") || document.documentElement.lang || navigator.language);
    this.#load();
  }

  /** Close the dialog without an answer. */
  close() {
    this.#dialog.close();
  }

  #tell(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  #speak(language, direction) {
    const base = (language || "en").toLowerCase().split("-")[0];
    this.#words = WORDS[base] ?? WORDS.en;
    this.#dialog.lang = WORDS[base] ? language : "en";
    this.#dialog.dir = direction ?? (RIGHT_TO_LEFT.has(base) ? "rtl" : "ltr");
  }

  async #call(method, path, body) {
    const answer = await fetch(this.getAttribute("api").replace(/\/$/, "") + path, {
      method,
      headers: {
        authorization: `Bearer ${this.getAttribute("token")}`,
        ...(body ? { "content-type": "application/json" } : {}),
      },
      body: body && JSON.stringify(body),
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(ANSWER_MILLISECONDS),
    });
    return { status: answer.status, said: await answer.json().catch(() => ({})) };
  }

  async #load(notice = "") {
    this.#show(this.#words.loading, []);
    try {
      const { status, said } = await this.#call("GET", "/v1/confirmation");
      if (status !== 200) return this.#over(status === 401 || status === 404 || status === 410);
      this.#speak(said.language, said.direction);
      if (said.state !== "open") return this.#over(true);
      this.#question = said;
      this.#ask(notice);
    } catch {
      this.#over(false);
    }
  }

  #ask(notice) {
    const { message_html: html, message_text: text, quote, action_label: label, expires_at: until } = this.#question;
    const words = this.#words;
    const message = element("div", { id: "message", part: "message" });
    message.append(html ? harmless(html) : text ?? "");
    this.#show(notice, [
      element("h2", { id: "title", part: "title", text: label ? `${words.title}: ${label}` : words.title }),
      message,
      ...this.#bill(quote),
      element("p", { part: "until", text: `${words.until} ${this.#moment(until)}` }),
      element("footer", {
        children: [
          this.#button("decline", words.decline, () => this.#answer("decline")),
          this.#button("confirm", words.confirm, () => this.#answer("confirm")),
        ],
      }),
    ]);
    // Whoever presses Enter without reading declines: nothing is bought by mistake.
    this.#dialog.querySelector(".decline").focus();
  }

  #bill(quote) {
    const words = this.#words;
    if (!quote || quote.difference == null) return [element("p", { class: "sum", part: "sum", text: words.unknown })];
    const rows = quote.lines.map((line) =>
      element("tr", {
        children: [
          element("td", { text: line.plan }),
          element("td", { class: "number", text: line.quantity }),
          element("td", { class: "number", text: this.#money(line.unit_price, quote.currency) }),
          element("td", { class: "number", text: this.#money(line.difference, quote.currency) }),
        ],
      }),
    );
    const heads = [words.plan, words.quantity, words.price, words.difference].map((text, column) =>
      element("th", { scope: "col", text, ...(column ? { class: "number" } : {}) }),
    );
    const sum = `${words.added}: ${this.#money(quote.difference, quote.currency)} ${words.perPeriod}`;
    return [
      element("table", {
        part: "lines",
        children: [
          element("thead", { children: [element("tr", { children: heads })] }),
          element("tbody", { children: rows }),
        ],
      }),
      element("p", { class: "sum", part: "sum", text: sum }),
    ];
  }

  /** Amounts are decimal strings. They are formatted as such: a number of JavaScript could show another amount. */
  #money(amount, currency) {
    if (amount == null) return "–";
    const format = new Intl.NumberFormat(this.#dialog.lang, { style: "currency", currency, maximumFractionDigits: 20 });
    return format.format(amount);
  }

  #moment(text) {
    return new Intl.DateTimeFormat(this.#dialog.lang, { dateStyle: "long", timeStyle: "short" }).format(new Date(text));
  }

  async #answer(answer) {
    const buttons = this.#dialog.querySelectorAll("button");
    for (const button of buttons) button.disabled = true;
    this.#notice(this.#words.sending);
    try {
      const body = { answer, quote_sha256: this.#question.quote.sha256 };
      const { status, said } = await this.#call("POST", "/v1/confirmation/answer", body);
      if (status === 200 && said.decision) return this.#decided(said.decision);
      if (status === 409) return this.#load(this.#words.moved);
      this.#over(status === 401 || status === 404 || status === 410);
    } catch {
      // The answer may have arrived all the same: what the gate says now is shown, not what was hoped for.
      this.#tell("tallyport-error", { message: this.#words.failed });
      this.#load(this.#words.failed);
    }
  }

  #decided(decision) {
    this.#answered = true;
    this.#show(decision === "allowed" ? this.#words.allowed : this.#words.declined, [this.#closing()]);
    this.#tell("tallyport-decided", { decision });
  }

  #over(gone) {
    const message = gone ? this.#words.gone : this.#words.failed;
    const again = gone ? [] : [this.#button("retry", this.#words.retry, () => this.#load())];
    this.#show(message, [element("footer", { children: [...again, this.#button("close", this.#words.close, () => this.close())] })]);
    this.#tell("tallyport-error", { message });
  }

  #closing() {
    return element("footer", { children: [this.#button("close", this.#words.close, () => this.close())] });
  }

  #button(name, text, press) {
    const made = element("button", { type: "button", class: name, part: name, text });
    made.addEventListener("click", press);
    return made;
  }

  #notice(text) {
    this.#dialog.querySelector(".notice").textContent = text;
  }

  #show(notice, children) {
    const status = element("p", { class: "notice", part: "notice", role: "status", "aria-live": "polite" });
    const titled = children.some((child) => child.id === "title");
    this.#dialog.replaceChildren(...(titled ? [] : [element("h2", { id: "title", text: this.#words.title })]), status, ...children);
    if (!this.#dialog.open) this.#dialog.showModal();
    status.textContent = notice;
  }
}

customElements.define("tallyport-confirmation", TallyportConfirmation);
