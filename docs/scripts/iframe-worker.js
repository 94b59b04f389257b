/* Browsers start no worker on a page that is opened as a file. There, the search runs in a frame instead. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.ready = new Promise(resolve => (frame.onload = () => resolve(frame.contentWindow)))
      window.addEventListener("message", event => {
        if (event.source === frame.contentWindow) {
          const message = new MessageEvent("message", { data: structuredClone(event.data) })
          this.dispatchEvent(message)
          this.onmessage?.(message)
        }
      })
      const page = frame.contentDocument
      page.open()
      page.write(`<base href="${document.baseURI}"><script>
        postMessage = data => parent.dispatchEvent(new MessageEvent("message", { data, source: window }))
      </script><script src="${url}"></script>`)
      page.close()
    }

    postMessage(data) {
      // A copy, as a worker gets one.
      const message = new MessageEvent("message", { data: structuredClone(data) })
      this.ready.then(frame => frame.dispatchEvent(message))
    }

    terminate() {}
  }
}
