// Package house_test holds the figures of the house: who may import whom, how much files need each
// other, how large they are, which locks they have, what the documents say of them, and that the
// code in the README runs. It looks at the source of the whole module.
package house_test

import (
	"fmt"
	"os"
	"testing"
)

const module = "github.com/multiprolab/multiprolab"

func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil { // to the root of the module
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
