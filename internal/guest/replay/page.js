// Records one document. Frames of the same site are recorded with the page they
// are in; those of others send what they see to it.
const send = HIDDEN ? queue() : globalThis.BINDING;
if (!record || !send) return;
if (!HIDDEN) delete globalThis.BINDING; // before any script of the page runs

// What waits to be asked for, in a world that no script of the page sees.
function queue() {
	const most = 10000;
	let texts = [], wake = null;
	globalThis.BINDING = async () => {
		if (texts.length === 0) await new Promise((done) => { wake = done; });
		const all = texts;
		texts = [];
		return all.join("\n");
	};
	return (text) => {
		if (texts.length < most) texts.push(text);
		if (wake) wake();
		wake = null;
	};
}

const longest = 16 * 1024 * 1024; // characters of an event
record({
	emit(event) {
		const text = JSON.stringify(event);
		if (text.length <= longest) send(text);
	},
	recordCrossOriginIframes: true,
	recordAfter: "DOMContentLoaded",
	checkoutEveryNms: 60000, // so that who seeks waits for a minute of events at most
	maskInputOptions: { password: true },
	slimDOMOptions: { script: true, comment: true, headFavicon: true, headMetaRobots: true, headMetaVerification: true },
	sampling: { scroll: 100, media: 800 },
	errorHandler: () => true, // the page goes on, whatever cannot be recorded
});
