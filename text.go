package multiprolab

import (
	"strings"
	"unicode/utf8"
)

// brief is the text of an error inside another text.
func brief(err error) string {
	if err == nil {
		return "no error"
	}
	return strings.ReplaceAll(err.Error(), "multiprolab: ", "")
}

// cutText returns the first n bytes of a text, at most, and no half of a character.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + " ..."
}
