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

// without says which mechanisms the program does without. It does not change.
var without = read(os.Getenv(Variable))

// read reads the variable. A name that is no mechanism's ends the program, because it would not
// measure what it was asked for.
func read(list string) (found [len(names)]bool) {
	for name := range strings.SplitSeq(list, ",") {
		m := slices.Index(names[:], name)
		if m < 0 {
			panic(fmt.Sprintf("%s names %q, and there are %v", Variable, name, All))
		}
		found[m] = true
	}
	return found
}

// Without reports whether the program does without the mechanism. It costs the same whatever the
// variable lists.
func Without(m Mechanism) bool { return without[m] }
