//go:build ablate

package ablate

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Built says whether the program was built with the tag ablate.
const Built = true

// without holds the mechanisms that the program does without. It does not change.
var without = list(os.Getenv(Variable))

// list reads the variable. A name that is no mechanism's ends the program, because it would not
// measure what it was asked for.
func list(names string) map[Mechanism]bool {
	found := map[Mechanism]bool{}
	for name := range strings.SplitSeq(names, ",") {
		if name == "" {
			continue
		}
		if !slices.Contains(All, Mechanism(name)) {
			panic(fmt.Sprintf("%s names %q, and there are %v", Variable, name, All))
		}
		found[Mechanism(name)] = true
	}
	return found
}

// Without reports whether the program does without the mechanism.
func Without(m Mechanism) bool { return without[m] }
