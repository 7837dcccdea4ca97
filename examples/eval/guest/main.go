// Guest evaluates a script from its stdin and prints the value. It is built for WebAssembly:
//
//	GOOS=wasip1 GOARCH=wasm go build -o guest.wasm ./guest
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/multiprolab/multiprolab/examples/eval/script"
)

// Ready is the line that tells that the guest waits for its script.
const ready = "ready\n"

func main() {
	fmt.Print(ready)
	source, err := io.ReadAll(os.Stdin)
	if err == nil {
		var value string
		if value, err = script.Evaluate(context.Background(), string(source)); err == nil {
			fmt.Print(value)
			return
		}
	}
	fmt.Fprint(os.Stderr, err)
	os.Exit(1)
}
