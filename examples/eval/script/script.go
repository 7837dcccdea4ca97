// Package script evaluates JavaScript, in the same way wherever it is done.
package script

import (
	"context"

	"github.com/dop251/goja"
)

// Evaluate returns the value of a script as text. When ctx ends the script is interrupted; but an
// interrupt waits for the end of a function that is built in.
func Evaluate(ctx context.Context, source string) (string, error) {
	vm := goja.New()
	stop := context.AfterFunc(ctx, func() { vm.Interrupt(context.Cause(ctx)) })
	defer stop()
	v, err := vm.RunString(source)
	if err != nil {
		return "", err
	}
	return v.String(), nil
}
