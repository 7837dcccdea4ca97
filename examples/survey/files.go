package main

import (
	"context"
	"io/fs"
	"iter"
	"path/filepath"
	"strings"
)

// goFiles walks a tree and yields the path of each Go file, in the lexical order of each directory,
// or the path and the error of what cannot be read. Symlinks are not followed. The end of ctx ends
// the walk.
func goFiles(ctx context.Context, root string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		// SkipAll is its only error, and WalkDir's nil
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			goOn := ctx.Err() == nil
			switch {
			case !goOn:
			case err != nil:
				goOn = yield(path, err)
			case d.Type().IsRegular() && strings.HasSuffix(path, ".go"):
				goOn = yield(path, nil)
			}
			if !goOn {
				return fs.SkipAll
			}
			return nil
		})
	}
}
