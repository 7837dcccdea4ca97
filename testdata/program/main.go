// Command program is what tests run that need a main function of their own, as users have it: "program NAME ARGS..." runs one of the programs below. Worker
// processes come through main as well.
package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/multiprolab/multiprolab"
)

// programs are the programs by their names.
var programs = map[string]func(args []string){}

func main() {
	run := programs[os.Args[1]]
	if run == nil {
		fmt.Fprintf(os.Stderr, "no program is named %q\n", os.Args[1])
		os.Exit(64)
	}
	run(os.Args[2:])
}

// config returns a config that logs everything to stderr.
func config(name string) *multiprolab.Config {
	return &multiprolab.Config{Name: name, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))}
}

// check ends the program if there is an error.
func check(err error) {
	if err != nil {
		fmt.Println("FAIL:", err)
		os.Exit(1)
	}
}
