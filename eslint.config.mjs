import { fileURLToPath } from 'node:url'
import tseslint from 'typescript-eslint'

export default tseslint.config(
  { ignores: ['dist/', 'coverage/', 'node_modules/'] },
  ...tseslint.configs.strictTypeChecked.map(config => ({ ...config, files: ['**/*.ts', '**/*.mts'] })),
  {
    files: ['**/*.ts', '**/*.mts'],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: fileURLToPath(new URL('.', import.meta.url)) }
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/no-floating-promises': ['error', { ignoreVoid: false }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true }
      ],
      // `export =` carries its types in a namespace: there is no other way.
      '@typescript-eslint/no-namespace': ['error', { allowDeclarations: true }],
      eqeqeq: 'error',
      'prefer-const': 'error',
      'no-restricted-syntax': [
        'error',
        {
          selector:
            'MemberExpression[object.name="describe"][property.name=/^(only|skip)$/], MemberExpression[object.name="it"][property.name=/^(only|skip)$/]',
          message: 'A test that is skipped proves nothing, and one that is alone hides the others.'
        }
      ]
    }
  },
  {
    // Sent to browsers as it is, old ones too: ES5 has no other word.
    files: ['lib/browser/client-half.ts'],
    rules: { 'no-var': 'off' }
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // assume's chains are properties that assert: `assume(x).is.truthy()`.
      '@typescript-eslint/no-unused-expressions': 'off'
    }
  }
)
