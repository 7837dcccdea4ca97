// Package console shows on a terminal how work goes: a bar under a Map or a set of futures, and a
// live table of the workers.
//
//	for thumb, err := range console.Progress(multiprolab.Map[Thumb](ctx, app, "thumbnail", pictures, nil)) {
//
// Everything here is silent when it does not write to a terminal: the results are the same, and not
// a byte is written. It is a module of its own, because the core has no dependencies.
package console
