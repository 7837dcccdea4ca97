// Package text cuts texts to a bounded size between two characters. It knows no more of a text than
// that it is UTF-8, or is not.
package text

import "unicode/utf8"

// Whole returns how many of the first bytes of a longer text, of n at most, do not end within a
// character. If there is no UTF-8, it is n.
func Whole[T string | []byte](s T, n int) int {
	for i := n; i >= 0 && i > n-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return i
		}
	}
	return max(0, n)
}

// Cut cuts a text that is longer than n bytes off behind its last whole character within these, and
// appends " ...".
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:Whole(s, n)] + " ..."
}
