//go:build !ablate

package ablate

// Built says whether the program was built with the tag ablate.
const Built = false

// Without reports whether the program does without the mechanism.
func Without(Mechanism) bool { return false }
