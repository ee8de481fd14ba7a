// A transport brings a session's screen into an element, and mouse, keyboard and
// clipboard to the session. This one speaks RFB by means of noVNC; another, such as
// a video stream, has to have the same methods and events.
//
// Events: connected, lost, clipboard (detail.text).
import RFB from "../novnc/core/rfb.js";
import KeyTable from "../novnc/core/input/keysym.js";
import keysyms from "../novnc/core/input/keysymdef.js";

export class Transport extends EventTarget {
	constructor(element, url) {
		super();
		this.rfb = new RFB(element, url, { shared: true });
		this.rfb.background = "transparent";
		this.rfb.qualityLevel = 7;
		this.rfb.compressionLevel = 2; // from which on Xvnc carries only what differs of what is painted
		this.rfb.addEventListener("connect", () => this.dispatchEvent(new Event("connected")));
		this.rfb.addEventListener("disconnect", () => this.dispatchEvent(new Event("lost")));
		this.rfb.addEventListener("clipboard", (e) =>
			this.dispatchEvent(new CustomEvent("clipboard", { detail: { text: e.detail.text } })));
	}

	close() { this.rfb.disconnect(); }

	// Whether the screen is made to fit the element.
	set fit(on) { this.rfb.scaleViewport = on; this.rfb.clipViewport = !on; this.rfb.dragViewport = false; }

	// Whether mouse and keyboard go to the session.
	set acts(on) { this.rfb.viewOnly = !on; }

	focus() { this.rfb.focus(); }

	putClipboard(text) { this.rfb.clipboardPasteFrom(text); }

	// Presses keys, by the names that X has for them, and releases them.
	press(names) {
		const codes = names.map((n) => KeyTable["XK_" + n]);
		codes.forEach((c) => this.rfb.sendKey(c, null, true));
		codes.reverse().forEach((c) => this.rfb.sendKey(c, null, false));
	}

	// Types text, of any script.
	type(text) {
		for (const character of text) {
			const code = character === "\n" ? KeyTable.XK_Return : keysyms.lookup(character.codePointAt(0));
			this.rfb.sendKey(code, null);
		}
	}
}
