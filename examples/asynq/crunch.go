package main

import "strings"

// crunch is the body of all tasks: somebody else's code, which knows no context, and of which
// nobody can say whether it comes to an end.
func crunch(what []byte) string {
	switch string(what) {
	case "stuck":
		select {}
	case "spin":
		for n := 1; n != 0; n += 2 { // n is odd, so never 0
		}
	}
	return strings.ToUpper(string(what))
}
