(print, secret) => {
	'use strict'
	// Functions that are replaced look as the ones before: they refuse the same
	// objects, with the same error, and say that they are native code. So do they to
	// frames of the same site: all of them share looks, by the secret.
	const { apply, defineProperty, getOwnPropertyDescriptor } = Reflect
	const { captureStackTrace } = Error
	const toString = Function.prototype.toString
	let looks = new WeakMap()
	const ask = (original, self, args, by) => {
		try {
			return apply(original, self, args)
		} catch (e) {
			captureStackTrace(e, by) // it was not called from here
			throw e
		}
	}
	const says = { toString() { return this === secret ? looks : looks.get(this) ?? ask(toString, this, arguments, says) } }.toString
	for (const name of ['parent', 'opener']) {
		try {
			const theirs = globalThis[name].Function.prototype.toString
			if (theirs !== toString && apply(toString, theirs, []) === apply(toString, says, [])) looks = apply(theirs, secret, [])
		} catch { } // there is none, or it is of another site
	}
	const like = (f, original) => {
		looks.set(f, apply(toString, original, []))
		defineProperty(f, 'name', { value: original.name, configurable: true })
		defineProperty(f, 'length', { value: original.length, configurable: true })
		return f
	}
	defineProperty(Function.prototype, 'toString', { value: like(says, toString), writable: true, configurable: true, enumerable: false })

	const get = (type, name, value) => {
		const proto = globalThis[type]?.prototype
		const d = proto && getOwnPropertyDescriptor(proto, name)
		if (!value || !d?.get) return
		const getter = getOwnPropertyDescriptor({ get [name]() { ask(d.get, this, [], getter); return value } }, name).get
		defineProperty(proto, name, { ...d, get: like(getter, d.get) })
	}
	const { userAgent, platform, deviceMemory, hardwareConcurrency, maxTouchPoints } = print.navigator
	for (const type of ['Navigator', 'WorkerNavigator']) {
		get(type, 'deviceMemory', deviceMemory)
		get(type, 'hardwareConcurrency', hardwareConcurrency)
		get(type, 'platform', platform) // in pages it is set, and lost when a client of DevTools sets a user agent
	}
	get('WorkerNavigator', 'userAgent', userAgent)
	get('WorkerNavigator', 'appVersion', userAgent.replace('Mozilla/', ''))
	get('Navigator', 'maxTouchPoints', maxTouchPoints)
	const { width, height, availWidth, availHeight, colorDepth } = print.screen
	for (const [name, value] of Object.entries({ width, height, availWidth, availHeight, colorDepth, pixelDepth: colorDepth })) {
		get('Screen', name, value)
	}

	const { vendor, renderer } = print.videoCard
	for (const type of ['WebGLRenderingContext', 'WebGL2RenderingContext']) {
		const proto = globalThis[type]?.prototype
		if (!proto || !vendor || !renderer) continue
		const original = proto.getParameter
		const unmasked = { 37445: vendor, 37446: renderer } // WEBGL_debug_renderer_info
		const { getParameter } = { getParameter(name) { const v = ask(original, this, arguments, getParameter); return v && (unmasked[name] ?? v) } }
		defineProperty(proto, 'getParameter', { value: like(getParameter, original), writable: true, configurable: true, enumerable: true })
	}
}
