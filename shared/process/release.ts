/** Of Holdfast; a test holds it to package.json. */
export const release = '0.1.0'
