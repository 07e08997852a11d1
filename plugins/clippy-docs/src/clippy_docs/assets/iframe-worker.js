// Search for a site that is read from files: a browser starts no worker there, so that the script of the search runs in a
// hidden frame instead.  The theme looks for a script of this name, and would otherwise load one from the network.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(address) {
      this.waiting = [];
      this.ready = false;
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      this.inside = this.frame.contentWindow;
      this.inside.postMessage = (data) => setTimeout(() => this.onmessage?.({ data }));
      const script = this.inside.document.createElement("script");
      script.src = address;
      script.onload = () => this.start();
      script.onerror = (event) => this.onerror?.(event);
      this.inside.document.body.append(script);
    }

    start() {
      this.ready = true;
      for (const data of this.waiting.splice(0)) this.postMessage(data);
    }

    postMessage(data) {
      if (this.ready) setTimeout(() => this.inside.onmessage({ data: structuredClone(data) }));
      else this.waiting.push(data);
    }

    terminate() {
      this.frame.remove();
    }
  };
}
